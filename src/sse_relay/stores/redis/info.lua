-- Tell a run's state. KEYS: the run.
local run, why = find(KEYS[1], clock())
if not run then
  return {why}
end
return {'found', described(run)}
