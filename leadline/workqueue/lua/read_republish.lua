-- Read the users whose open events their sender must republish.
-- KEYS republish   ARGV maximum number
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
