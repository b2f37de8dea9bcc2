-- Add records, and with an outcome close the log.
-- KEYS: the run. ARGV: fence, last offset before, last offset of the frames, all of them with the seal packed, outcome or
-- '', and for append.fast.lua what its followers are told of them first, and the names of what is gathered, of the log and
-- of the channel; of a bounded log the most events, the most bytes, and '1' if its oldest records go.
local now = clock()
local run = find(KEYS[1], now)
if not run then
  return {'missing', 0, false}
end

local function answer(word)
  return {word, run.last, run.cancel}
end

local before, outcome = tonumber(ARGV[2]), ARGV[5]
local frames = tonumber(ARGV[3]) - before
local count = outcome ~= '' and frames + 1 or frames
local last = before + count

if tonumber(ARGV[1]) ~= run.fence then
  return answer('fenced')
end
local there = outcome ~= '' and run.outcome and last == run.last
if outcome == '' then
  there = last <= run.last - (run.outcome and 1 or 0)
end
if before >= 0 and there then
  if not run.outcome then
    touch(run, now)
  end
  return answer('duplicate')
end
if run.outcome then
  return answer('sealed')
end
if before ~= run.last then
  return answer('gap')
end

local batch = {count = count, packed = ARGV[4], outcome = outcome}
if ARGV[10] then
  run.size = tonumber(redis.call('HGET', run.key, 'size') or 0)
  batch.bounds = {events = tonumber(ARGV[10]), bytes = tonumber(ARGV[11]), trims = ARGV[12] == '1'}
  local long = run.last + frames - run.trimmed > batch.bounds.events
  if (long or run.size + #batch.packed > batch.bounds.bytes) and not batch.bounds.trims and frames > 0 then
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
