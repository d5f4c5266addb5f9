-- Write down what became of leased users, and release those for whom a delay is given.
-- KEYS due, leases, and for each user its entry and events
-- ARGV seconds that an idle entry is remembered, and for each user: user, fence, delay in ms (''
--      keeps the lease), number of fields, number of events, then names and texts of the fields and
--      ids and texts of the events (an empty text deletes)
-- Returns for each 1, or 0 where the lease has passed to somebody else.
local due, leases, idle_s = KEYS[1], KEYS[2], ARGV[1]

-- Returns where the next part of ARGV begins.
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
    -- Changed again while being served: from the third time on let changes gather for a while,
    -- up to a second, so that a user that never rests costs one call a second.
    local streak = redis.call('HINCRBY', entry, 'streak', 1)
    delay = streak < 2 and 0 or math.min(1000, 50 * 2 ^ (streak - 1))
  end
  redis.call('ZADD', due, now + tonumber(delay), user)
end

local kept, at = {}, 2
for number = 1, #KEYS / 2 - 1 do
  local entry, events = KEYS[2 * number + 1], KEYS[2 * number + 2]
  local user, fence, delay, fields, answers = unpack(ARGV, at, at + 4)
  local is_ours = redis.call('HGET', entry, 'fence') == fence and redis.call('ZSCORE', leases, user)
  if is_ours then
    local next_at = write(entry, at + 5, tonumber(fields))
    write(events, next_at, tonumber(answers))
    if delay ~= '' then release(user, entry, events, delay) end
  end
  kept[number] = is_ours and 1 or 0
  at = at + 5 + 2 * (fields + answers)
end
return kept
