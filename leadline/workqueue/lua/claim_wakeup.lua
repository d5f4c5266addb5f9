-- Whether the caller must enqueue a job.
-- KEYS due, leases, gatherer, called   ARGV for how many ms the caller counts as coming
-- Returns 1, or 0 where nobody is due or a worker is coming.
local due, leases, gatherer, called = unpack(KEYS)
if count_due(due, leases) > 0 and not is_wakeup_under_way(gatherer, called, ARGV[1]) then return 1 end
return 0
