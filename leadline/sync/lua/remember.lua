-- Since when Redis remembers everything, in ms of the unix clock.
-- KEYS memory
return born(KEYS[1], now)
