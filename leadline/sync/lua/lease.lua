-- Lease due users to one worker; take back what leases have expired.
-- KEYS due, leases, memory   ARGV key prefix, how many, lease in ms
-- Returns {expired leases, users still due, {user, entry, events}…}
local due, leases, memory = unpack(KEYS)
local prefix, limit, lease_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A Redis that was restarted may have forgotten its last second.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if redis.call('HGET', memory, 'run_id') ~= run_id then
  local is_restart = redis.call('EXISTS', memory) == 1
  redis.call('HSET', memory, 'run_id', run_id, 'since', is_restart and now or 0)
end
local memory_since = tonumber(redis.call('HGET', memory, 'since'))

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
  redis.call('HINCRBY', entry, 'fence', 1)
  if redis.call('HEXISTS', entry, 'agreed') == 0 then
    if tonumber(redis.call('HGET', entry, 'since') or 0) < memory_since then
      redis.call('HSET', entry, 'doubt', 1, 'since', now)
    end
    redis.call('HSET', entry, 'creating', 1)
  end
  leased[#leased + 1] = {
    user, redis.call('HGETALL', entry), redis.call('HGETALL', entry .. ':events')
  }
end
return {#expired, redis.call('ZCOUNT', due, '-inf', now), leased, now}
