-- Restore a hold from Postgres.
-- KEYS circuit breaker, when an operator last resumed calls   ARGV since, reason
-- Returns 1 if Redis had lost it.
return restore_hold(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
