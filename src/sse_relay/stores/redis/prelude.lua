-- What every operation begins with. Times are microseconds on this server's clock.
--
-- A run is a hash; its fields: id, key, metadata, dialect, created, updated, lease, kept (the retention), fence, last,
-- stored, trimmed and size (where logs are bounded), epochs ("first:4,second": the first one ended at 4), outcome,
-- cancel, claim, fingerprint, slot and start (the names that lead to it), ttl (when its log may go), steady (until when an
-- append has to look after nothing else: not the ttl, not how the run ended; or ''), trace (if any).
--
-- Its log is a stream, whose entries are named by their last record and how many they hold, up to the record `stored`;
-- the records after that are in a string beside it. There small batches gather until they fill a node of the stream:
-- an entry each would cost a quarter more memory. What is gathered is a suite of packed batches, and so is an entry.
--
-- Whether a run is kept, expired or forgotten is told by the clock alone. The TTLs only have to be long enough, so
-- that most operations leave them as they are.
--
-- A full memory refuses a script's first write, or nothing of it: nothing is ever half done.

local GATHERED = 8100 -- bytes: with what the server adds it is just below 8 KiB, one of the sizes that it allocates

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function int(number)
  return string.format('%.0f', number) -- tostring would keep 14 digits
end

local function milliseconds(time)
  return int(math.ceil(time / 1000))
end

local function add(list, ...)
  for _, value in ipairs({...}) do
    list[#list + 1] = value
  end
end

local function names(key)
  local base, name = string.match(key, '^([^{]*{p%d+}:)run:(.*)$')
  return base .. 'log:' .. name, base .. 'runs', base .. 'leases', base .. 'wakes', base .. 'recent:' .. name, base .. 'stops'
end

-- Let the script write though the memory is full: its first write, of what is not there, needs none.
local function insist(key)
  redis.call('HDEL', key, 'nothing')
end

local function find(key, now)
  local found = redis.call(
    'HMGET', key, 'id', 'updated', 'lease', 'kept', 'fence', 'last', 'epochs', 'outcome', 'cancel', 'ttl', 'stored',
    'trimmed'
  )
  if not found[1] then
    return nil, 'missing'
  end
  local run = {
    key = key, id = found[1], updated = tonumber(found[2]), lease = tonumber(found[3]), kept = tonumber(found[4]),
    fence = tonumber(found[5]), last = tonumber(found[6]), epochs = found[7], outcome = found[8], cancel = found[9],
    ttl = tonumber(found[10]), stored = tonumber(found[11]), trimmed = tonumber(found[12] or 0),
  }
  local due = run.updated + run.kept
  if not run.outcome then
    due = run.updated + math.max(run.kept, run.lease)
  end
  if now >= due + run.kept then
    return nil, 'missing'
  elseif now >= due then
    return nil, 'expired'
  end
  return run
end

local function is_lapsed(run, now)
  return now >= run.updated + run.lease
end

-- Tell a run's fields and values in one text: as many replies of their own would cost their reader more than a page.
local function described(run)
  return cjson.encode(redis.call('HGETALL', run.key))
end

-- Let the log and the names go at run.ttl, and the run itself, then a tombstone, as long again after that.
local function expire(run, now)
  local log, index, leases, _, recent = names(run.key)
  local gone = run.ttl + run.kept
  redis.call('PEXPIREAT', log, milliseconds(run.ttl))
  redis.call('PEXPIREAT', recent, milliseconds(run.ttl))
  redis.call('PEXPIREAT', run.key, milliseconds(gone))
  for _, name in ipairs(redis.call('HMGET', run.key, 'slot', 'start')) do
    if name and redis.call('GET', name) == run.key then
      redis.call('PEXPIREAT', name, milliseconds(run.ttl))
    end
  end
  for _, set in pairs({index, leases}) do
    if redis.call('PTTL', set) < (gone - now) / 1000 then
      redis.call('PEXPIREAT', set, milliseconds(gone))
    end
  end
end

-- Tell how long the log of a run is to be kept that was alive just now, and some more, so that this is seldom asked.
local function later(run, now)
  return now + math.max(run.kept, run.lease) + math.floor(run.kept / 2)
end

-- Tell until when an append may leave that as it is, and has nothing to tell its producer; '' if it may not.
local function steady(run)
  return (run.outcome or run.cancel) and '' or int(run.ttl - math.max(run.kept, run.lease))
end

-- Note a sign of life.
local function touch(run, now)
  run.updated = now
  if now + math.max(run.kept, run.lease) > run.ttl then
    run.ttl = later(run, now)
    redis.call('HSET', run.key, 'updated', int(now), 'ttl', int(run.ttl), 'steady', steady(run))
    expire(run, now)
  else
    redis.call('HSET', run.key, 'updated', int(now))
  end
end

-- Write text as one word.
local function quoted(text)
  return (string.gsub(text, '[^%w.:{}_-]', function(char) return string.format('%%%02X', string.byte(char)) end))
end

local function publish(channel, header, payload)
  if #payload > 16384 then
    payload = ''
  end
  redis.pcall(PUBLISH, channel, table.concat(header, ' ') .. '\n' .. payload) -- what is done is done, heard of or not
end

-- Drop the oldest records of a log that is too long, entry by entry; those of the newest batch are kept.
local function trim(run, log, bounds, moved)
  run.trimmed = math.max(run.trimmed, run.last - bounds.events)
  while moved do
    local entry = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
    local last = entry and tonumber(string.match(entry[1], '^%d+')) or run.last
    if last == run.last or (last > run.trimmed and run.size <= bounds.bytes) then
      break
    end
    redis.call('XDEL', log, entry[1])
    run.size, run.trimmed = run.size - #entry[2][2], math.max(run.trimmed, last)
  end
end

-- Put a batch behind what there is; tell whether anything moved into the stream, nil if what there was has vanished.
local function put(run, log, recent, batch)
  local gathered = run.last > run.stored and redis.call('STRLEN', recent) or 0
  if run.last > run.stored and gathered == 0 or run.stored > 0 and redis.call('EXISTS', log) == 0 then
    if not batch.anew then
      return nil
    end
    run.stored = gathered == 0 and run.last or run.stored
  end
  local most = batch.bounds and math.min(GATHERED, batch.bounds.bytes / 4) or GATHERED
  local last, size = run.last + batch.count, #batch.packed
  local before = gathered > 0 and (gathered + size > most or batch.outcome ~= '') and redis.call('GET', recent) or ''
  local to, moved = nil, before .. batch.packed
  if size > most then
    to = last
  elseif gathered + size > most then
    to, moved = run.last, before
  end
  if to then
    redis.call('XADD', log, int(to) .. '-' .. int(to - run.stored), 'b', moved)
    if run.stored == 0 then
      redis.call('PEXPIREAT', log, milliseconds(run.ttl))
    end
    run.stored, before = to, ''
  end
  if to == last then
    redis.call('DEL', recent)
  elseif to or gathered == 0 or before ~= '' then -- what is set takes no more room than it needs
    redis.call('SET', recent, before .. batch.packed, 'PXAT', milliseconds(run.ttl))
  else
    redis.call('APPEND', recent, batch.packed)
  end
  return to ~= nil
end

-- Add records after the last one: a batch has a count, what is packed, the outcome or '', and perhaps bounds. A log
-- that has vanished is not made anew, but for a seal over the producer's head.
local function write(run, batch, now)
  local log, _, leases, wakes, recent, stops = names(run.key)
  local moved = put(run, log, recent, batch)
  if moved == nil then
    return false
  end
  local first = run.last + 1
  run.last, run.updated = run.last + batch.count, now
  local fields = {'last', int(run.last), 'stored', int(run.stored), 'updated', int(now)}
  if batch.bounds then
    run.size = run.size + #batch.packed
    if batch.bounds.trims then
      trim(run, log, batch.bounds, moved)
    end
    add(fields, 'size', int(run.size), 'trimmed', int(run.trimmed))
  end
  local late = now + math.max(run.kept, run.lease) > run.ttl
  if batch.outcome ~= '' then
    run.outcome, run.ttl = batch.outcome, now + run.kept
    add(fields, 'outcome', batch.outcome, 'ttl', int(run.ttl), 'steady', '')
    redis.call('ZREM', leases, run.key)
  elseif late then
    run.ttl = later(run, now)
    add(fields, 'ttl', int(run.ttl), 'steady', steady(run))
  end
  redis.call('HSET', run.key, unpack(fields))
  if late or run.outcome then
    expire(run, now)
  end
  local epoch = string.match(run.epochs, '[^,:]+$')
  local header = {'log', quoted(run.id), epoch, int(first), int(batch.count), int(now), batch.outcome}
  publish(wakes, header, batch.packed)
  if batch.anew then
    publish(stops, {'taken', quoted(run.id), epoch}, '')
  end
  return true
end

-- Seal over the producer's head: a new fence, a new epoch.
local function take_over(run, epoch, packed, outcome, now)
  insist(run.key)
  run.epochs = run.epochs .. ':' .. int(run.last) .. ',' .. epoch
  run.fence = run.fence + 1
  write(run, {count = 1, packed = packed, outcome = outcome, anew = true}, now)
  redis.call('HSET', run.key, 'epochs', run.epochs, 'fence', int(run.fence))
end
