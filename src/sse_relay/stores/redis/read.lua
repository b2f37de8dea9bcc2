-- Tell states of runs, and what follows a place in each log. KEYS: the runs. ARGV: for each one the place, how many.
-- The answer has the first record and how many there are up to the next hole, and their batches, which may begin before
-- the place and end behind the last one wanted.
-- An entry is named by its last record and how many it holds: those that end within the page are fetched whole, and
-- then one more, of which the page may have the beginning.
local now = clock()
local most = '-18446744073709551615'
local ENTRIES = 128 -- at most: about a MiB, for as a rule an entry holds 8 KiB
local answers = {}
for index, key in ipairs(KEYS) do
  local run, why = find(key, now)
  if run then
    local log, _, _, _, recent = names(key)
    local after, limit = math.max(tonumber(ARGV[2 * index - 1]), run.trimmed), tonumber(ARGV[2 * index])
    local to = after + limit
    local first, last, batches = 0, 0, {}
    local function take(name, packed)
      local ends, count = string.match(name, '^(%d+)-(%d+)$')
      if last == 0 or ends - count == last then
        first, last = last == 0 and ends - count + 1 or first, tonumber(ends)
        batches[#batches + 1] = packed
        return true
      end
    end

    local entries = {}
    if run.stored > after then -- on a Cluster a log that is not there yet would hold up the reader while its slot moves
      entries = redis.call(
        'XRANGE', log, '(' .. int(after) .. most, int(to) .. most, 'COUNT', int(math.min(limit, ENTRIES))
      )
    end
    local whole = #entries < ENTRIES
    for _, entry in ipairs(entries) do
      if not take(entry[1], entry[2][2]) then
        whole = false
        break
      end
    end
    if whole and math.max(last, after) < math.min(to, run.last) then
      local cut = run.stored > to and redis.call('XRANGE', log, '(' .. int(to) .. most, '+', 'COUNT', 1)[1]
      local gathered = not cut and run.last > run.stored and redis.call('GET', recent)
      if gathered then
        take(int(run.last) .. '-' .. int(run.last - run.stored), gathered)
      elseif cut then
        take(cut[1], cut[2][2])
      end
    end
    answers[index] = {'found', described(run), first, last == 0 and 0 or last - first + 1, batches}
  else
    answers[index] = {why}
  end
end
return answers
