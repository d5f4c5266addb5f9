-- Write the settlements of leased users, and release those with a delay.
-- KEYS due, leases, and for each user its entry and events
-- ARGV seconds until an idle entry expires, and for each user: user, fencing token, delay in ms (''
--      keeps the lease), number of fields, number of events, then names and values of the fields and
--      ids and values of the events (an empty value deletes)
-- Returns for each user 1, or 0 if the lease was lost.
local due, leases, idle_s = KEYS[1], KEYS[2], ARGV[1]

-- Write names and values from ARGV; returns the index of the argument after them.
local function write(key, from, count)
  local to = from + 2 * count
  for at = from, to - 1, 2 do
    if ARGV[at + 1] == '' then redis.call('HDEL', key, ARGV[at])
    else redis.call('HSET', key, ARGV[at], ARGV[at + 1]) end
  end
  return to
end

local function release(user, entry, events, delay)
  redis.call('ZREM', leases, user)
  if redis.call('HLEN', events) == 0 then
    redis.call('HDEL', entry, 'streak')
    redis.call('EXPIRE', entry, idle_s)
    return
  end
  if delay == '0' then
    -- A new event came during the call. From the third time in a row on, linger up to a second, so
    -- that a user that changes constantly costs one call a second.
    local streak = redis.call('HINCRBY', entry, 'streak', 1)
    delay = streak < 2 and 0 or math.min(1000, 50 * 2 ^ (streak - 1))
  end
  redis.call('ZADD', due, now + tonumber(delay), user)
end

local saved, at = {}, 2
for number = 1, #KEYS / 2 - 1 do
  local entry, events = KEYS[2 * number + 1], KEYS[2 * number + 2]
  local user, fence, delay, field_count, event_count = unpack(ARGV, at, at + 4)
  local is_ours = redis.call('HGET', entry, 'fence') == fence and redis.call('ZSCORE', leases, user)
  if is_ours then
    local next_at = write(entry, at + 5, tonumber(field_count))
    write(events, next_at, tonumber(event_count))
    if delay ~= '' then release(user, entry, events, delay) end
  end
  saved[number] = is_ours and 1 or 0
  at = at + 5 + 2 * (field_count + event_count)
end
return saved
