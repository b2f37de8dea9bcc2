-- What nearly every append is: the next batch of a running log of no bounds, gathered behind others. All else falls
-- through to append.lua. Nothing is defined here that is not used: to make functions costs more than to call one.
local found = redis.call('HMGET', KEYS[1], 'fence', 'last', 'stored', 'ttl', 'lease', 'kept', 'outcome', 'cancel')
local last, base, name = tonumber(found[2]), string.match(KEYS[1], '^([^{]*{p%d+}:)run:(.*)$')
if
  found[1] == ARGV[1] and not found[7] and tonumber(ARGV[2]) == last + 1 and last > tonumber(found[3])
  and ARGV[3] ~= '0' and ARGV[5] == '' and not ARGV[7]
  and (not CLUSTER or type(redis.pcall('EXISTS', KEYS[1], base .. 'nothing')) == 'number') -- its slot is not moving
then
  local recent, time = base .. 'recent:' .. name, redis.call('TIME')
  local gathered, now = redis.call('STRLEN', recent), time[1] * 1000000 + time[2]
  if
    gathered > 0 and gathered + #ARGV[4] <= 8100
    and now + math.max(tonumber(found[5]), tonumber(found[6])) <= tonumber(found[4]) -- so it has not expired, either
    and (found[3] == '0' or redis.call('EXISTS', base .. 'log:' .. name) == 1)
  then
    last = last + ARGV[3]
    local updated = string.format('%.0f', now)
    redis.call('APPEND', recent, ARGV[4])
    redis.call('HSET', KEYS[1], 'last', string.format('%.0f', last), 'updated', updated)
    redis.pcall(PUBLISH, base .. 'wakes', ARGV[6] .. updated .. ' \n' .. ARGV[4])
    return {'ok', last, found[8]}
  end
end
