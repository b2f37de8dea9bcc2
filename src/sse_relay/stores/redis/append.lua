-- Add records, and with an outcome close the log.
-- KEYS: the run. ARGV: fence, first offset, how many frames, all of them with the seal packed, outcome or '', what its
-- followers are told of them first (append.fast.lua); of a bounded log the most events, the most bytes, and '1' if its
-- oldest records go.
local now = clock()
local run = find(KEYS[1], now)
if not run then
  return {'missing', 0, false}
end

local function answer(word)
  return {word, run.last, run.cancel}
end

local first, count, outcome = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[5]
if outcome ~= '' then
  count = count + 1
end
local last = first - 1 + count

if tonumber(ARGV[1]) ~= run.fence then
  return answer('fenced')
end
local there = outcome ~= '' and run.outcome and last == run.last
if outcome == '' then
  there = last <= run.last - (run.outcome and 1 or 0)
end
if first >= 1 and there then
  if not run.outcome then
    touch(run, now)
  end
  return answer('duplicate')
end
if run.outcome then
  return answer('sealed')
end
if first ~= run.last + 1 then
  return answer('gap')
end

local batch = {count = count, packed = ARGV[4], outcome = outcome}
if ARGV[7] then
  run.size = tonumber(redis.call('HGET', run.key, 'size') or 0)
  batch.bounds = {events = tonumber(ARGV[7]), bytes = tonumber(ARGV[8]), trims = ARGV[9] == '1'}
  local long = run.last + tonumber(ARGV[3]) - run.trimmed > batch.bounds.events
  if (long or run.size + #batch.packed > batch.bounds.bytes) and not batch.bounds.trims and ARGV[3] ~= '0' then
    return answer('full')
  end
end
if outcome ~= '' then
  insist(run.key)
end
if not write(run, batch, now) then
  return {'missing', 0, false}
end
return answer('ok')
