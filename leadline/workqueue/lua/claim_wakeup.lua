-- Claim the wake-up of a worker, with the functions of wakeups.lua.
-- KEYS due, leases, leader, wake-up   ARGV ms until the claim expires
-- Returns 1 if the caller must enqueue a job, or 0 if no user is due or a worker is about to lease.
local due, leases, leader, wakeup = unpack(KEYS)
if count_due(due, leases) > 0 and claim_wakeup(leader, wakeup, ARGV[1]) then return 1 end
return 0
