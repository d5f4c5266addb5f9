-- An operator resumes, and no hold from before is restored any more.
-- KEYS pause, resumed
-- Returns 1 where it was paused.
redis.call('SET', KEYS[2], string.format('%.3f', now / 1000))
return redis.call('DEL', KEYS[1])
