-- Read the users whose events their sender is asked to publish again.
-- KEYS republish   ARGV how many at most
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
