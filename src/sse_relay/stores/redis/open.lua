-- Claim a run. KEYS: the run, then the key's slot, then the idempotency key's, if there are any.
-- ARGV: id, claim, on_conflict, fingerprint, lease, retention, epoch, dialect, metadata, '1' and the key or '' and '',
-- '1' if there is an idempotency key, then of the seal for a lapsed run the frame and the outcome, of that for a
-- replaced one too, an epoch for whichever it is, and the trace or ''.
local now = clock()
local claim, policy = ARGV[2], ARGV[3]
local slot = ARGV[10] == '1' and KEYS[2]
local start = ARGV[12] == '1' and KEYS[#KEYS]

local run, why = find(KEYS[1], now)
if run and claim ~= '' and redis.call('HGET', run.key, 'claim') == claim then
  return {'made', string.match(run.epochs, '^[^,:]+'), described(run), false}
end

local function led_to(name)
  local key = name and redis.call('GET', name)
  return key and find(key, now)
end

local same = led_to(start)
if same then
  if redis.call('HGET', same.key, 'fingerprint') ~= ARGV[4] then
    return {'reused', same.id}
  end
  return {'joined', described(same)}
end

local active, ended = led_to(slot), false
if active and active.outcome then
  active = nil
end
if active and is_lapsed(active, now) then
  take_over(active, ARGV[17], ARGV[13], ARGV[14], now)
  active, ended = nil, described(active)
end
if active and policy == 'join' then
  return {'joined', described(active)}
elseif active and policy == 'reject' then
  return {'busy', active.id}
end
if run or why == 'expired' then
  return {'taken'}
end
if active then
  take_over(active, ARGV[17], ARGV[15], ARGV[16], now)
  ended = described(active)
end

local log, index, leases, _, recent = names(KEYS[1])
local lease, kept = tonumber(ARGV[5]), tonumber(ARGV[6])
run = {key = KEYS[1], kept = kept, lease = lease}
run.ttl = later(run, now)
local fields = { -- first what each append looks for: they are looked through in their order
  'fence', '1', 'last', '0', 'stored', '0', 'steady', steady(run), 'updated', int(now), 'id', ARGV[1], 'claim', claim,
  'fingerprint', ARGV[4], 'lease', ARGV[5], 'kept', ARGV[6], 'epochs', ARGV[7], 'dialect', ARGV[8], 'metadata', ARGV[9],
  'created', int(now), 'ttl', int(run.ttl),
}
if slot then
  add(fields, 'key', ARGV[11], 'slot', slot)
end
if start then
  add(fields, 'start', start)
end
if ARGV[18] ~= '' then
  add(fields, 'trace', ARGV[18])
end
redis.call('HSET', KEYS[1], 'id', ARGV[1]) -- refused here if memory is full, before a forgotten run is deleted
redis.call('DEL', KEYS[1], log, recent)
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('ZADD', index, int(now), KEYS[1])
redis.call('ZADD', leases, int(now + lease), KEYS[1])
for _, name in pairs({slot, start}) do
  if name then
    redis.call('SET', name, KEYS[1])
  end
end
expire(run, now)

-- Each start looks at a few others, so that the index does not grow with runs that are gone.
for _, key in ipairs(redis.call('ZRANDMEMBER', index, 3)) do
  if redis.call('EXISTS', key) == 0 then
    redis.call('ZREM', index, key)
  end
end
return {'made', ARGV[7], described(run), ended}
