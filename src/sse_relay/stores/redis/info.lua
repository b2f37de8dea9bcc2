-- Tell a run's state. KEYS: the run. ARGV: perhaps a place, and another one: what gathers is told, too, as an entry,
-- if it reaches beyond the first and begins before the second.
local run, why = find(KEYS[1], clock())
if not run then
  return {why}
end
local answer = {'found', described(run)}
if ARGV[1] and math.max(run.stored, tonumber(ARGV[1])) < run.last and run.stored < tonumber(ARGV[2]) then
  local _, _, _, _, recent = names(KEYS[1])
  local gathered = redis.call('GET', recent)
  if gathered then
    add(answer, {int(run.last) .. '-' .. int(run.last - run.stored), {'b', gathered}})
  end
end
return answer
