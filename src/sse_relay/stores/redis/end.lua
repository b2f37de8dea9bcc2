-- Seal a run over its producer's head. KEYS: the run. ARGV: '1' if only a lapsed one, new epoch, packed seal, outcome.
local now = clock()
local run, why = find(KEYS[1], now)
if not run then
  return {why}
end
if run.outcome or (ARGV[1] == '1' and not is_lapsed(run, now)) then
  return {'found', described(run)}
end
take_over(run, ARGV[2], ARGV[3], ARGV[4], now)
return {'sealed', described(run)}
