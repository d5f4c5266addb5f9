-- Read an outage.
-- KEYS outage
-- Returns {Redis' clock, the outage as names and values}
return {now, redis.call('HGETALL', KEYS[1])}
