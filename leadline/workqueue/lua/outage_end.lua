-- End an outage, unless it is a manual hold.
-- KEYS outage
-- Returns the ms that it lasted, or -1 if there was none to end.
local since = redis.call('HGET', KEYS[1], 'since')
if not since or redis.call('HEXISTS', KEYS[1], 'held') == 1 then return -1 end
redis.call('DEL', KEYS[1])
return math.max(0, math.floor(now - since * 1000))
