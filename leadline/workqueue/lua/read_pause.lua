-- Read the circuit breaker. A hold that the caller has seen ends only by `release`: restore it if lost.
-- KEYS circuit breaker, time of the last release   ARGV begin of the hold that the caller has seen
-- ('' none), its reason
-- Returns {Redis' clock, the outage as names and values}
if ARGV[1] ~= '' then restore_hold(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) end
return {now, redis.call('HGETALL', KEYS[1])}
