-- Lease due users to one worker, after ending all expired leases.
-- KEYS due, leases, epoch, recent, republish
-- ARGV a JSON object: prefix (of keys), limit, lease_ms, call_ms (longest call), recent_ms (how long
-- the queue counts as busy after a lease of several users)
-- Returns {number of expired leases, {{user, entry, events}…}, Redis' clock, Redis epoch}
local due, leases, epoch_key, recent, republish = unpack(KEYS)
local args = cjson.decode(ARGV[1])
local prefix, lease_ms, call_ms = args.prefix, args.lease_ms, args.call_ms
local epoch, began = ensure_epoch(epoch_key)

-- Require a lookup: the lead may differ from last applied, which can't be trusted from here on.
local function require_lookup(entry)
  if redis.call('EXISTS', entry) == 1 then redis.call('HSET', entry, 'doubt', 1) end
end

-- Require a lookup if a call of unknown outcome may have been made for this user. Returns until when the
-- user must not be leased, because that call may still run on the portal; nil if it may be leased now.
local function prepare_lease(entry)
  local known_epoch, running_until, running_order, order = unpack(
    redis.call('HMGET', entry, 'epoch', 'running_until', 'running_order', 'order'))
  if known_epoch ~= epoch then
    -- A call of this user may have been lost with the previous epoch.
    if now < began + call_ms then return began + call_ms end
    require_lookup(entry)
  end
  if running_until and number(order) > number(running_order) then
    -- An unanswered update may be applied after newer ones, and after any read made meanwhile.
    require_lookup(entry)
    if number(running_until) > now then return number(running_until) end
    redis.call('HDEL', entry, 'running_until', 'running_order')
  end
end

-- Whether pending events may be older than the state that was applied in the previous epoch, and lost.
local function may_be_outdated(entry)
  local vouched_epoch = redis.call('HGET', entry, 'vouched_epoch')
  return vouched_epoch and vouched_epoch ~= epoch
end

-- Keep the events of a user, with their attempts, until the sender republishes one that is still open.
local function await_republication(user, entry)
  redis.call('ZREM', due, user)
  for _, key in ipairs({entry, entry .. ':events'}) do redis.call('EXPIRE', key, KEEP_S) end
  request_republication(republish, user, began + CLOCK_SKEW_MS)
  return nil
end

local function lease(user, entry)
  if may_be_outdated(entry) then return await_republication(user, entry) end
  local blocked_until = prepare_lease(entry)
  if blocked_until then
    redis.call('ZADD', due, blocked_until, user)
    return nil
  end
  redis.call('ZREM', due, user)
  redis.call('ZADD', leases, now + lease_ms, user)
  -- From the clock, not a counter: a token from before a loss of data is never valid again.
  local last = number(redis.call('HGET', entry, 'fence'))
  local fence = math.max(time[1] * 1000000 + time[2], last + 1)
  redis.call('HSET', entry, 'fence', string.format('%.0f', fence))
  return {user, redis.call('HGETALL', entry), redis.call('HGETALL', entry .. ':events')}
end

-- At most 500 at a time, since Redis serves no one else while a script runs; the next lease ends more.
local expired = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 500)
for _, user in ipairs(expired) do
  redis.call('ZREM', leases, user)
  redis.call('ZADD', due, 'NX', now, user)
  -- Its call may have reached the portal; by now it has ended there.
  try_step(require_lookup, prefix .. 'user:' .. user)
end

local leased = {}
for _, user in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, args.limit)) do
  local entry = prefix .. 'user:' .. user
  local is_readable, leased_user = try_step(lease, user, entry)
  if is_readable then leased[#leased + 1] = leased_user
  else set_aside(due, leases, user, entry, prefix .. 'unreadable:' .. user, call_ms) end
end
if #leased > 1 then set_mark(recent, args.recent_ms) end
return {#expired, leased, now, epoch}
