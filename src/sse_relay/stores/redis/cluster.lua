-- What comes before each operation on a Cluster, which moves a slot key by key, and meanwhile lets nothing be made where
-- the slot was. Where the slot goes, what is not there yet looks like what never was. So while a slot moves, nothing is
-- begun that could end halfway or find half of a run: that is asked again. Of several keys EXISTS answers with an error
-- if any is not here while their slot moves.
do
  local function here(...)
    return type(redis.pcall('EXISTS', ...)) == 'number'
  end

  local function whole(key)
    local told = redis.call('HMGET', key, 'stored', 'last', 'outcome', 'slot', 'start')
    local log, index, leases, _, recent = names(key)
    local needed, stored = {key}, tonumber(told[1])
    if not stored then
      return true
    end
    if stored > 0 then
      add(needed, log)
    end
    if tonumber(told[2]) > stored then
      add(needed, recent)
    end
    if OPERATION ~= 'read' then
      if told[3] then
        return true
      end
      add(needed, index, leases)
      for _, name in pairs({told[4], told[5]}) do
        add(needed, name or nil)
      end
    end
    return here(unpack(needed)) and here(log) and here(recent)
  end

  local may = {
    append = whole, ['end'] = whole, read = whole,
    lookup = function(slot)
      local key = redis.call('GET', slot)
      return not key or here(slot, key)
    end,
    info = here, cancel = here, renew = here,
  }
  if not here(KEYS[1], string.match(KEYS[1], '^[^}]*}:') .. 'nothing') then -- the slot is moving
    for _, key in ipairs(KEYS) do
      if not may[OPERATION] or not may[OPERATION](key) then
        return redis.error_reply('TRYAGAIN the slot of this run is moving')
      end
    end
  end
end
