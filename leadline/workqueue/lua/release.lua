-- Close the circuit by an operator's order; holds that began earlier are never restored.
-- KEYS circuit breaker, time of the last release
-- Returns 1 if the circuit was open.
redis.call('SET', KEYS[2], string.format('%.3f', now / 1000))
return redis.call('DEL', KEYS[1])
