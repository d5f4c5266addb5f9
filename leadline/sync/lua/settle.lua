-- Write down what became of a leased user, and release it where a delay is given.
-- KEYS due, leases, entry, events
-- ARGV user, fence, delay in ms ('' keeps the lease), seconds that an idle entry is remembered,
--      number of values: fields and texts of the entry (an empty text deletes),
--      then event ids and texts (an empty text deletes)
-- Returns 1, or 0 where the lease has passed to somebody else.
local due, leases, entry, events = unpack(KEYS)
local user, fence, delay, idle_s, fields = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call('HGET', entry, 'fence') ~= fence or not redis.call('ZSCORE', leases, user) then
  return 0
end
for at = 6, #ARGV, 2 do
  local key = at < 6 + fields and entry or events
  if ARGV[at + 1] == '' then redis.call('HDEL', key, ARGV[at])
  else redis.call('HSET', key, ARGV[at], ARGV[at + 1]) end
end
if delay ~= '' then
  redis.call('ZREM', leases, user)
  redis.call('HDEL', entry, 'creating')
  if redis.call('HLEN', events) > 0 then
    if delay == '0' then
      -- Changed again while being served: from the third time on let changes gather for a while,
      -- up to a second, so that a user that never rests costs one call a second.
      local streak = redis.call('HINCRBY', entry, 'streak', 1)
      delay = streak < 2 and 0 or math.min(1000, 50 * 2 ^ (streak - 1))
    end
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    redis.call('ZADD', due, now + tonumber(delay), user)
  else
    redis.call('HDEL', entry, 'streak')
    redis.call('EXPIRE', entry, idle_s)
  end
end
return 1
