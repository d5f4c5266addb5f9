-- Token bucket: drain it after a refusal, since the portal's own count is at its limit.
-- KEYS bucket, epoch   ARGV rate per second, seconds that all workers shall wait
local now_s = time[1] + time[2] / 1000000
local debt = -tonumber(ARGV[1]) * tonumber(ARGV[2])
local tokens = tonumber(redis.call('HGET', KEYS[1], 'tokens') or 0)
redis.call('HSET', KEYS[1], 'tokens', tostring(math.min(tokens, debt)),
  'at', string.format('%.6f', now_s), 'epoch', (ensure_epoch(KEYS[2])))
return 1
