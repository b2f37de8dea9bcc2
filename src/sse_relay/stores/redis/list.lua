-- List the runs of one partition, newest first. KEYS: its index. ARGV: where to go on, how many to look at.
-- The answer begins with where to go on after these, '' for nowhere.
local now = clock()
local found = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[1], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local runs = {''}
if #found == 2 * tonumber(ARGV[2]) then
  runs[1] = '(' .. found[#found]
end
for index = 1, #found, 2 do
  local run, why = find(found[index], now)
  if run then
    runs[#runs + 1] = described(run)
  elseif why == 'missing' then
    redis.call('ZREM', KEYS[1], found[index])
  end
end
return runs
