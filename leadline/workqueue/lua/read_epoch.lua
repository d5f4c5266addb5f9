-- Since when Redis remembers everything: the epoch's id, and when it began in ms of the unix clock.
-- KEYS memory
return {epoch_of(KEYS[1])}
