-- What is stored may be damaged: a number that is none counts as 0, and an entry that can't be worked
-- with is kept for an operator, out of the way of the others.
local KEEP_S = 30 * 24 * 3600

local function number(text) return tonumber(text or 0) or 0 end

-- What a step on an entry that was damaged fails with, a wrong type or a text where none fits; a full
-- or read-only Redis is no such failure.
local DAMAGE = {'WRONGTYPE', 'not an integer', 'not a valid', 'attempt to', 'bad argument', 'Expected'}

-- Run a step for one user. Returns whether the entry could be worked with, and the step's result.
local function attempt(step, ...)
  local is_readable, result = pcall(step, ...)
  if is_readable then return true, result end
  local text = type(result) == 'table' and result.err or tostring(result)
  for _, sign in ipairs(DAMAGE) do
    if string.find(text, sign, 1, true) then return false end
  end
  error(result, 0)
end

-- A user's entry is a hash and so are its events; `unreadable` is where the two are kept. The user is
-- known anew from here on: a call that went with the entry may still run, and what was sent before may
-- be a copy of something older than what was applied.
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
