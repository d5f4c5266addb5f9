-- Whether the caller must enqueue a job.
-- KEYS due, leases, RQ's list, gatherer, called
-- Returns 1, or 0 where nobody is due or somebody comes.
local due, leases, jobs, gatherer, called = unpack(KEYS)
if count_due(due, leases) > 0 and count_comers(jobs, gatherer, called) == 0 then return 1 end
return 0
