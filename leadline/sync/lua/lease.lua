-- Lease due users to one worker; take back what leases have expired.
-- KEYS due, leases, memory, recent   ARGV key prefix, how many, lease in ms, longest call in ms, for
-- how many ms it is told that users were leased just now
-- Returns {expired leases, users still due, {user, entry, events}…, Redis' clock}
local due, leases = KEYS[1], KEYS[2]
local prefix, limit = ARGV[1], tonumber(ARGV[2])
local lease_ms, call_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local memory_since = born(KEYS[3], now)

-- Until when this user must not be served, because a call that nobody sees any more may still run
-- on the portal; nil where nothing is in the way. Raises doubt where the lead may be another.
local function blocked_until(entry)
  local agreed, known_since, running_until, running_order, order = unpack(
    redis.call('HMGET', entry, 'agreed', 'known_since', 'running_until', 'running_order', 'order'))
  if tonumber(running_until or 0) > now and tonumber(order) > tonumber(running_order) then
    -- What an unanswered update wrote would come after what is newer; then the lead is read again.
    redis.call('HSET', entry, 'doubt', 1)
    if agreed then
      redis.call('HSET', entry, 'hint', string.format('%.0f', cjson.decode(agreed).lead_id))
      redis.call('HDEL', entry, 'agreed')
    end
    return tonumber(running_until)
  end
  if not agreed and tonumber(known_since or 0) < memory_since then
    -- Older than this memory: somebody may have served it whom we forgot.
    if now < memory_since + call_ms then return memory_since + call_ms end
    redis.call('HSET', entry, 'doubt', 1)
  end
end

local function lease(user, entry)
  redis.call('ZADD', leases, now + lease_ms, user)
  -- By the clock and not counted: a token from before a memory loss never fits again.
  local last = tonumber(redis.call('HGET', entry, 'fence') or 0)
  local fence = math.max(time[1] * 1000000 + time[2], last + 1)
  redis.call('HSET', entry, 'fence', string.format('%.0f', fence))
  if redis.call('HEXISTS', entry, 'agreed') == 0 then redis.call('HSET', entry, 'creating', 1) end
  return {user, redis.call('HGETALL', entry), redis.call('HGETALL', entry .. ':events')}
end

local expired = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 500)
for _, user in ipairs(expired) do
  redis.call('ZREM', leases, user)
  redis.call('ZADD', due, 'NX', now, user)
  local entry = prefix .. 'user:' .. user
  if redis.call('HDEL', entry, 'creating') == 1 then redis.call('HSET', entry, 'doubt', 1) end
end

local leased = {}
for _, user in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit)) do
  local entry = prefix .. 'user:' .. user
  local blocked = blocked_until(entry)
  if blocked then
    redis.call('ZADD', due, blocked, user)
  else
    redis.call('ZREM', due, user)
    leased[#leased + 1] = lease(user, entry)
  end
end
if #leased > 0 then redis.call('SET', KEYS[4], 1, 'PX', ARGV[5]) end
return {#expired, redis.call('ZCOUNT', due, '-inf', now), leased, now}
