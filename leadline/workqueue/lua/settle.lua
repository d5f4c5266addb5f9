-- Write the settlements of leased users, and release those with a delay.
-- KEYS due, leases, and for each user its entry and events
-- ARGV a JSON object: idle_s (until an idle entry expires), and users, each of which has
--   user, fence              fencing token of the lease
--   delay_ms                 absent: keep the lease
--   fields, events           texts to write, by name and by event id; an empty one deletes
-- Returns for each user 1, or 0 if the lease was lost.
local due, leases = KEYS[1], KEYS[2]
local args = cjson.decode(ARGV[1])

local function write(key, texts)
  for name, text in pairs(texts) do
    if text == '' then redis.call('HDEL', key, name) else redis.call('HSET', key, name, text) end
  end
end

local function release(user, entry, events, delay)
  redis.call('ZREM', leases, user)
  if redis.call('HLEN', events) == 0 then
    redis.call('HDEL', entry, 'streak')
    redis.call('EXPIRE', entry, args.idle_s)
    return
  end
  if delay == 0 then
    -- A new event arrived during the call. From the third call in a row, linger for up to a second, so
    -- that a user that changes constantly costs one call a second.
    local streak = redis.call('HINCRBY', entry, 'streak', 1)
    delay = streak < 2 and 0 or math.min(1000, 50 * 2 ^ (streak - 1))
  end
  redis.call('ZADD', due, now + delay, user)
end

local saved = {}
for at, settled in ipairs(args.users) do
  local entry, events = KEYS[2 * at + 1], KEYS[2 * at + 2]
  local is_ours = redis.call('HGET', entry, 'fence') == settled.fence
    and redis.call('ZSCORE', leases, settled.user)
  if is_ours then
    write(entry, settled.fields)
    write(events, settled.events)
    if settled.delay_ms then release(settled.user, entry, events, settled.delay_ms) end
  end
  saved[at] = is_ours and 1 or 0
end
return saved
