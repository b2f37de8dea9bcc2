-- Tell a run's state, and what follows a place. KEYS: the run. ARGV: after, after + limit, limit.
-- An entry is named by its last record and how many it holds: those that end within the page are fetched whole, and
-- then one more, of which the page may have the beginning.
local run, why = find(KEYS[1], clock())
if not run then
  return {why}
end
local log = names(run.key)
local most = '-18446744073709551615'
local whole = redis.call('XRANGE', log, '(' .. ARGV[1] .. most, ARGV[2] .. most, 'COUNT', ARGV[3])
local cut = {}
if #whole == 0 or string.match(whole[#whole][1], '^%d+') ~= ARGV[2] then
  cut = redis.call('XRANGE', log, '(' .. ARGV[2] .. most, '+', 'COUNT', 1)
end
return {'found', described(run), whole, cut}
