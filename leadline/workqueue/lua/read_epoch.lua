-- Read the Redis epoch: its id, and when it began (unix ms); since then Redis' memory is complete.
-- KEYS epoch
return {epoch_of(KEYS[1])}
