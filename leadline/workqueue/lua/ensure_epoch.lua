-- Begin a new Redis epoch if Redis is empty or has restarted.
-- KEYS epoch
-- Returns {id of the epoch, when it began (unix ms)}
return {ensure_epoch(KEYS[1])}
