-- Count the users of the work queue.
-- KEYS due, leases, recent
-- Returns {users due, users leased, ms until the next user is due or the next lease expires (-1: none),
-- whether several users were leased just now, users delayed}
local due, leases, recent = unpack(KEYS)
local expired = redis.call('ZCOUNT', leases, '-inf', now)
local wait = -1
for _, key in ipairs({due, leases}) do
  local score = redis.call('ZRANGEBYSCORE', key, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  if score and (wait < 0 or score - now < wait) then wait = score - now end
end
return {
  count_due(due, leases),
  redis.call('ZCARD', leases) - expired,
  wait,
  read_mark(recent) and 1 or 0,
  redis.call('ZCOUNT', due, '(' .. now, '+inf'),
}
