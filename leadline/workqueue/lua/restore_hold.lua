-- Restore a hold that Redis has lost, unless an operator released it since it began.
-- Returns 1 if it was restored.
local function restore_hold(pause, resumed, since, reason)
  if redis.call('HEXISTS', pause, 'held') == 1 then return 0 end
  if tonumber(redis.call('GET', resumed) or -1) >= tonumber(since) then return 0 end
  redis.call('HSET', pause, 'held', 1, 'since', since, 'reason', reason, 'probes', 0)
  redis.call('HDEL', pause, 'code', 'next_probe_at')
  return 1
end
