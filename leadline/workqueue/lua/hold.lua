-- Hold all calls for an operator, whether the circuit is open or closed.
-- KEYS circuit breaker, when an operator last resumed calls   ARGV reason
-- Returns since when (unix seconds) the circuit is open.
redis.call('HSETNX', KEYS[1], 'since', string.format('%.3f', now / 1000))
redis.call('HSET', KEYS[1], 'held', 1, 'reason', ARGV[1], 'probes', 0)
redis.call('HDEL', KEYS[1], 'code', 'next_probe_at')
redis.call('DEL', KEYS[2])
return redis.call('HGET', KEYS[1], 'since')
