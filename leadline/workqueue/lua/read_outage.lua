-- An outage as it stands.
-- KEYS outage
-- Returns {Redis' clock, the outage as names and texts}
return {now, redis.call('HGETALL', KEYS[1])}
