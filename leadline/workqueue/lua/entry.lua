-- The fields of an entry keep the names of earlier releases: `Entry` (entries/entry.py) says what they
-- mean. These are for scripts only:
--   epoch            Redis epoch in which the user's lead was last known for certain
--   vouched_epoch    Redis epoch in which a sender has vouched for the entry
--   last_event       id of the event with the newest state
--   history          newest history of the sender's database
--   running_until    until when a call of unknown outcome may still run on the portal
--   running_order    sequence number of the newest state that this call may write
--   forgotten_at     when an earlier entry of the user was set aside
--   streak           how many calls in a row have ended with a newer event waiting

-- Stored data may be damaged: an entry that breaks a step is set aside for an operator, so that it
-- blocks no other.
local KEEP_S = 30 * 24 * 3600
-- The clocks of Redis, Postgres and senders may differ by this much.
local CLOCK_SKEW_MS = 10000

local function number(text)
  -- A damaged sequence number is an error: if it counted as 0, any older message would seem newer.
  return tonumber(text or 0) or error('not a valid number', 0)
end

-- Errors of a step on a damaged entry: a wrong type, or a text of the wrong format. A full or read-only
-- Redis is no such error.
local DAMAGE = {'WRONGTYPE', 'not an integer', 'not a valid', 'attempt to', 'bad argument', 'Expected'}

-- Run a step for one user. Returns whether the entry was readable, and the step's result.
local function try_step(step, ...)
  local is_readable, result = pcall(step, ...)
  if is_readable then return true, result end
  local text = type(result) == 'table' and result.err or tostring(result)
  for _, pattern in ipairs(DAMAGE) do
    if string.find(text, pattern, 1, true) then return false end
  end
  error(result, 0)
end

-- Move a user's entry and events, two hashes, to `unreadable`. The user starts over: a call made under
-- the old entry may still run, and a message sent before may be older than what was applied. The
-- `running_order` of -1 is below that of any message: the next lease waits for that call, and requires
-- a lookup.
local function set_aside(due, leases, user, entry, unreadable, call_ms)
  redis.call('ZREM', leases, user)
  redis.call('ZREM', due, user)
  for _, part in ipairs({'', ':events'}) do
    if redis.call('EXISTS', entry .. part) == 1 then
      redis.call('RENAME', entry .. part, unreadable .. part)
      redis.call('EXPIRE', unreadable .. part, KEEP_S)
    end
  end
  redis.call('HSET', entry, 'forgotten_at', string.format('%.0f', now),
    'running_until', string.format('%.0f', now + call_ms), 'running_order', -1)
  redis.call('EXPIRE', entry, KEEP_S)
end

-- Request that the sender republishes this user's open events, but only once its messages are certainly
-- newer than this time.
local function request_republication(republish, user, after)
  redis.call('ZADD', republish, 'NX', string.format('%.0f', after + CLOCK_SKEW_MS), user)
end
