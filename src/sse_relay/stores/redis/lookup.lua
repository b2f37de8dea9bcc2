-- Tell the latest run of a key. KEYS: the key's slot.
local key = redis.call('GET', KEYS[1])
local run = key and find(key, clock())
if not run then
  return {'missing'}
end
return {'found', described(run)}
