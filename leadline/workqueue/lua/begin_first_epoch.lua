-- This Redis was just made: nothing can have been forgotten. One that holds anything is left as it is.
-- KEYS memory
-- Returns 1 if so.
if redis.call('DBSIZE') > 0 then return 0 end
redis.call('HSET', KEYS[1], 'run_id', run_id(), 'born', 1)
return 1
