-- Lease due users to one worker; take back what leases have expired.
-- KEYS due, leases, memory   ARGV key prefix, how many, lease in ms, longest call in ms,
--                             when this worker leased for the first time ('' never yet)
-- Returns {expired leases, users still due, {user, entry, events}…}
local due, leases, memory = unpack(KEYS)
local prefix, limit, lease_ms, call_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A Redis that was restarted may have forgotten its last second, an emptied one everything. Calls
-- that it has forgotten may be under way: until `quiet` nobody can say that a lead does not exist.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if redis.call('HGET', memory, 'run_id') ~= run_id then
  local is_restart = redis.call('EXISTS', memory) == 1
  local is_emptied = string.find(redis.call('INFO', 'commandstats'), 'cmdstat_flush')
  local quiet = (is_restart or is_emptied) and now + call_ms or 0
  redis.call('HSET', memory, 'run_id', run_id, 'since', is_restart and now or 0)
  redis.call('HSET', memory, 'born', now, 'quiet', quiet)
end
local born = tonumber(redis.call('HGET', memory, 'born') or 0)
if ARGV[5] ~= '' and tonumber(ARGV[5]) < born then
  -- This worker remembers a time that Redis doesn't.
  redis.call('HSET', memory, 'quiet', math.max(born + call_ms, redis.call('HGET', memory, 'quiet')))
end
local memory_since = tonumber(redis.call('HGET', memory, 'since'))
local quiet = tonumber(redis.call('HGET', memory, 'quiet') or 0)

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
  redis.call('ZREM', due, user)
  redis.call('ZADD', leases, now + lease_ms, user)
  -- By the clock and not counted: a token from before a memory loss never fits again.
  local last = tonumber(redis.call('HGET', entry, 'fence') or 0)
  local fence = math.max(time[1] * 1000000 + time[2], last + 1)
  redis.call('HSET', entry, 'fence', string.format('%.0f', fence))
  if redis.call('HEXISTS', entry, 'agreed') == 0 then
    if tonumber(redis.call('HGET', entry, 'since') or 0) <= memory_since then
      redis.call('HSET', entry, 'doubt', 'forgotten', 'since', now)
    end
    local doubt = redis.call('HGET', entry, 'doubt')
    if now < quiet and (doubt == 'forgotten' or doubt == 'overtaken') then
      local wait_until = math.max(quiet, tonumber(redis.call('HGET', entry, 'wait_until') or 0))
      redis.call('HSET', entry, 'wait_until', string.format('%.0f', wait_until))
    end
    redis.call('HSET', entry, 'creating', 1)
  end
  leased[#leased + 1] = {
    user, redis.call('HGETALL', entry), redis.call('HGETALL', entry .. ':events')
  }
end
return {#expired, redis.call('ZCOUNT', due, '-inf', now), leased, now}
