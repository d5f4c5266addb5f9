-- An operator pauses, whether or not the portal serves us.
-- KEYS pause, resumed   ARGV reason
-- Returns since when it is paused.
redis.call('HSETNX', KEYS[1], 'since', string.format('%.3f', now / 1000))
redis.call('HSET', KEYS[1], 'held', 1, 'reason', ARGV[1], 'probes', 0)
redis.call('HDEL', KEYS[1], 'code', 'next_probe_at')
redis.call('DEL', KEYS[2])
return redis.call('HGET', KEYS[1], 'since')
