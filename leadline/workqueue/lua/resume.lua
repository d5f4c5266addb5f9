-- Close the circuit for an operator; holds that began earlier are never restored.
-- KEYS circuit breaker, when an operator last resumed calls
-- Returns 1 if the circuit was open.
redis.call('SET', KEYS[2], string.format('%.3f', now / 1000))
return redis.call('DEL', KEYS[1])
