-- What every operation begins with. Times are microseconds on this server's clock.
--
-- A run is a hash; its fields: id, key, metadata, dialect, created, updated, lease, kept (the retention), fence, last,
-- epochs ("first:4,second": the first one ended at 4), outcome, cancel, claim, fingerprint, slot and start (the names
-- that lead to it), ttl (when its log may go).
--
-- Whether a run is kept, expired or forgotten is told by the clock alone. The TTLs only have to be long enough, so
-- that most operations leave them as they are.
--
-- A script's first write is one that a full memory refuses: then nothing is done, and never half of it.

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function int(number)
  return string.format('%.0f', number) -- tostring would keep 14 digits
end

local function names(key)
  local base, name = string.match(key, '^([^{]*{p%d+}:)run:(.*)$')
  return base .. 'log:' .. name, base .. 'runs', base .. 'leases', base .. 'wakes'
end

local function find(key, now)
  local found = redis.call(
    'HMGET', key, 'id', 'updated', 'lease', 'kept', 'fence', 'last', 'epochs', 'outcome', 'cancel', 'claim',
    'fingerprint', 'slot', 'start', 'ttl'
  )
  if not found[1] then
    return nil, 'missing'
  end
  local run = {
    key = key, id = found[1], updated = tonumber(found[2]), lease = tonumber(found[3]), kept = tonumber(found[4]),
    fence = tonumber(found[5]), last = tonumber(found[6]), epochs = found[7], outcome = found[8], cancel = found[9],
    claim = found[10], fingerprint = found[11], slot = found[12], start = found[13], ttl = tonumber(found[14]),
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

local function described(run)
  return redis.call('HGETALL', run.key)
end

-- Let the log and the names go at run.ttl, and the run itself, then a tombstone, as long again after that.
local function expire(run, now)
  local log, index, leases = names(run.key)
  local gone = run.ttl + run.kept
  redis.call('PEXPIREAT', log, int(math.ceil(run.ttl / 1000)))
  redis.call('PEXPIREAT', run.key, int(math.ceil(gone / 1000)))
  for _, name in pairs({run.slot, run.start}) do
    if name and redis.call('GET', name) == run.key then
      redis.call('PEXPIREAT', name, int(math.ceil(run.ttl / 1000)))
    end
  end
  for _, set in pairs({index, leases}) do
    if redis.call('PTTL', set) < (gone - now) / 1000 then
      redis.call('PEXPIREAT', set, int(math.ceil(gone / 1000)))
    end
  end
end

-- Note a sign of life.
local function touch(run, now)
  run.updated = now
  local needed = now + math.max(run.kept, run.lease)
  if needed > run.ttl then
    run.ttl = needed + math.floor(run.kept / 2)
    redis.call('HSET', run.key, 'updated', int(now), 'ttl', int(run.ttl))
    expire(run, now)
  else
    redis.call('HSET', run.key, 'updated', int(now))
  end
end

local function publish(run, header, payload)
  local _, _, _, channel = names(run.key)
  if #payload > 16384 then
    payload = ''
  end
  redis.call('PUBLISH', channel, cjson.encode(header) .. '\n' .. payload)
end

-- Add records after the last one. A log that has vanished is not made anew, but for a seal over the producer's head.
local function write(run, count, packed, outcome, now, anew)
  local log, _, leases = names(run.key)
  local first = run.last + 1
  local id = int(run.last + count) .. '-' .. int(count)
  if run.last == 0 or anew then
    redis.call('XADD', log, id, 'b', packed)
  elseif not redis.call('XADD', log, 'NOMKSTREAM', id, 'b', packed) then
    return false
  end
  run.last = run.last + count
  redis.call('HSET', run.key, 'last', int(run.last))
  if outcome ~= '' then
    run.outcome, run.updated, run.ttl = outcome, now, now + run.kept
    redis.call('HSET', run.key, 'outcome', outcome, 'updated', int(now), 'ttl', int(run.ttl))
    redis.call('ZREM', leases, run.key)
    expire(run, now)
  else
    touch(run, now)
    if first == 1 then
      redis.call('PEXPIREAT', log, int(math.ceil(run.ttl / 1000)))
    end
  end
  local epoch = string.match(run.epochs, '[^,:]+$')
  publish(run, {'log', run.id, epoch, int(first), int(count), int(now), outcome}, packed)
  return true
end

-- Seal over the producer's head: a new fence, a new epoch.
local function take_over(run, epoch, packed, outcome, now)
  run.epochs = run.epochs .. ':' .. int(run.last) .. ',' .. epoch
  run.fence = run.fence + 1
  write(run, 1, packed, outcome, now, true)
  redis.call('HSET', run.key, 'epochs', run.epochs, 'fence', int(run.fence))
end
