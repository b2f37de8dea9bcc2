-- Tell running runs whose lease has passed. KEYS: a set of runs by lease. ARGV: how many at most, then all such sets.
-- An append does not move its run in the set: who is there with a lease that seems to have passed is looked at here.
local now = clock()
local limit = tonumber(ARGV[1])
local ids = {}
for place = 2, #ARGV do
  local set = ARGV[place]
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', int(now), 'LIMIT', 0, 256)) do
    local run = find(key, now)
    if not run or run.outcome then
      redis.call('ZREM', set, key)
    elseif not is_lapsed(run, now) then
      insist(key)
      redis.call('ZADD', set, int(run.updated + run.lease), key)
    elseif #ids < limit then
      ids[#ids + 1] = run.id
    end
  end
  if #ids >= limit then
    break
  end
end
return ids
