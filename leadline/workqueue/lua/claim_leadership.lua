-- Become the one who gathers the next batch, of all who are due when it goes.
-- KEYS due, leases, gatherer, called   ARGV name, for how many ms
-- Returns 1, or 0 where nobody is due or another one gathers.
local due, leases, gatherer, called = unpack(KEYS)
-- The job that was enqueued has begun: a user that is put from here on meets a gatherer, or needs a
-- job.
redis.call('DEL', called)
if count_due(due, leases) == 0 or marked(gatherer) then return 0 end
mark(gatherer, tonumber(ARGV[2]), ARGV[1])
return 1
