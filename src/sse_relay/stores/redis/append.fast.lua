-- What nearly every append is: the next batch of a running log of no bounds, gathered behind others. All else falls
-- through to append.lua. Nothing is defined here that is not used: to make functions costs more than to call one. And
-- nothing is a number: on a server that has slept, to read one or to write one costs as much as three commands.
local found = redis.call('HMGET', KEYS[1], 'fence', 'last', 'stored', 'steady')
if
  found[1] == ARGV[1] and found[2] == ARGV[2] and found[4] and found[2] ~= found[3] -- so something is gathered
  and ARGV[3] ~= ARGV[2] and ARGV[5] == '' and not ARGV[10]
  and (not CLUSTER or type(redis.pcall('EXISTS', KEYS[1], string.match(KEYS[1], '^[^}]*}:') .. 'nothing')) == 'number')
then -- on a Cluster, its slot is not moving
  local gathered, time = redis.call('STRLEN', ARGV[7]), redis.call('TIME')
  local now = time[1] .. string.sub('00000' .. time[2], -6)
  if
    gathered > 0 and gathered + #ARGV[4] <= 8100
    and now <= found[4] -- so it has not expired, either
    and (found[3] == '0' or redis.call('EXISTS', ARGV[8]) == 1)
  then
    redis.call('APPEND', ARGV[7], ARGV[4])
    redis.call('HSET', KEYS[1], 'last', ARGV[3], 'updated', now)
    redis.pcall(PUBLISH, ARGV[9], ARGV[6] .. now .. ' \n' .. ARGV[4])
    return 'ok'
  end
end
