-- Become the one who gathers the next batch, of all who are due when it goes.
-- KEYS due, leases, RQ's list, gatherer, called   ARGV name, for how many ms
-- Returns 1, or 0 where nobody is due or another one gathers.
local due, leases, _, gatherer, called = unpack(KEYS)
-- Whoever was called has come: who is put from here on finds the gatherer, or calls anew.
redis.call('DEL', called)
if count_due(due, leases) == 0 then return 0 end
return redis.call('SET', gatherer, ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
