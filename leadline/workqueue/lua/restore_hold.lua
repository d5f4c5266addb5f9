-- Restore a hold that Redis has lost, unless an operator has resumed calls since it began.
-- Returns 1 if it was restored.
local function restore_hold(breaker, resumed_at, since, reason)
  if redis.call('HEXISTS', breaker, 'held') == 1 then return 0 end
  if tonumber(redis.call('GET', resumed_at) or -1) >= tonumber(since) then return 0 end
  redis.call('HSET', breaker, 'held', 1, 'since', since, 'reason', reason, 'probes', 0)
  redis.call('HDEL', breaker, 'code', 'next_probe_at')
  return 1
end
