-- Tell states of runs, and what follows a place in each log. KEYS: the runs. ARGV: for each one the place, how many
-- records, how many bytes: to so many no more batches are added.
-- The answer has the first record and how many there are up to the next hole, and their batches, which may begin before
-- the place and end behind the last one wanted.
-- An entry is named by its last record and how many it holds: those that end within the page are fetched whole, and
-- then one more, of which the page may have the beginning.
local now = clock()
local most = '-18446744073709551615'
local ENTRIES = 16 -- at once: as a rule one holds 8 KiB, but it may hold any batch
local answers = {}
for index, key in ipairs(KEYS) do
  local run, why = find(key, now)
  if run then
    local log, _, _, _, recent = names(key)
    local place, limit, bytes = tonumber(ARGV[3 * index - 2]), tonumber(ARGV[3 * index - 1]), tonumber(ARGV[3 * index])
    local after = math.max(place, run.trimmed)
    local to = after + limit
    local first, last, batches = 0, 0, {}
    local function take(name, packed)
      local ends, count = string.match(name, '^(%d+)-(%d+)$')
      if bytes > 0 and (last == 0 or ends - count == last) then
        bytes = bytes - #packed
        first, last = last == 0 and ends - count + 1 or first, tonumber(ends)
        batches[#batches + 1] = packed
        return true
      end
    end

    local whole, from = true, '(' .. int(after) .. most
    if run.stored <= after then
      from = nil -- on a Cluster a log that is not there yet would hold up the reader while its slot moves
    end
    while from do
      local entries = redis.call('XRANGE', log, from, int(to) .. most, 'COUNT', int(math.min(limit, ENTRIES)))
      from = nil
      for _, entry in ipairs(entries) do
        whole = take(entry[1], entry[2][2])
        if not whole then
          break
        end
      end
      if whole and last < to and #entries == ENTRIES then
        from = '(' .. entries[ENTRIES][1]
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
