-- Begin the first epoch of a Redis that was just created: it can't have lost anything. Does nothing if
-- Redis holds any key.
-- KEYS epoch
-- Returns 1 if it began.
if redis.call('DBSIZE') > 0 then return 0 end
redis.call('HSET', KEYS[1], 'run_id', run_id(), 'born', 1)
return 1
