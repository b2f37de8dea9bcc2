-- Renew many leases. KEYS: the runs. ARGV: their fences.
local now = clock()
local answers = {}
for index, key in ipairs(KEYS) do
  local run = find(key, now)
  if not run then
    answers[index] = {'missing', 0, false}
  elseif tonumber(ARGV[index]) ~= run.fence then
    answers[index] = {'fenced', run.last, run.cancel}
  elseif run.outcome then
    answers[index] = {'sealed', run.last, run.cancel}
  else
    touch(run, now)
    answers[index] = {'ok', run.last, run.cancel}
  end
end
return answers
