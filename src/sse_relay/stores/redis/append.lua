-- Add records, and with an outcome close the log.
-- KEYS: the run. ARGV: fence, first offset, how many frames, all of them with the seal packed, outcome or ''.
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
if not write(run, count, ARGV[4], outcome, now) then
  return {'missing', 0, false}
end
return answer('ok')
