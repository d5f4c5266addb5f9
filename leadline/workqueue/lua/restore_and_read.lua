-- Restore a hold that the caller has seen and Redis has lost; then read the circuit breaker.
-- KEYS circuit breaker, when an operator last resumed calls   ARGV begin of the hold that the caller
-- has seen ('' none), its reason
-- Returns {Redis' clock, the outage as names and values}
if ARGV[1] ~= '' then restore_hold(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) end
return {now, redis.call('HGETALL', KEYS[1])}
