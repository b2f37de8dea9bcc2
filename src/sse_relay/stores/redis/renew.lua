-- Renew many leases. KEYS: one of the runs. ARGV: each run and its fence.
local now = clock()
local answers = {}
for place = 1, #ARGV, 2 do
  local key, run = ARGV[place], find(ARGV[place], now)
  local answer = {'missing', 0, false}
  if run then
    answer = {'ok', run.last, run.cancel}
    if tonumber(ARGV[place + 1]) ~= run.fence then
      answer[1] = 'fenced'
    elseif run.outcome then
      answer[1] = 'sealed'
    else
      insist(key)
      touch(run, now)
    end
  end
  answers[#answers + 1] = answer
end
return answers
