-- Ask a run to stop. KEYS: the run. ARGV: the reason.
local run, why = find(KEYS[1], clock())
if not run then
  return {why}
end
if not run.outcome and not run.cancel then
  insist(run.key)
  redis.call('HSET', run.key, 'cancel', ARGV[1], 'steady', '')
  local _, _, _, _, _, stops = names(run.key)
  publish(stops, {'cancel', quoted(run.id), quoted(ARGV[1])}, '')
end
return {'found', described(run)}
