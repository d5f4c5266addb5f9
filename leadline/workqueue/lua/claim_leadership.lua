-- Become the batch leader: it fills the next batch, then leases all users that are due by then.
-- KEYS due, leases, leader, wake-up   ARGV name, ms until the leadership expires
-- Returns 1, or 0 if no user is due or another worker leads.
local due, leases, leader, wakeup = unpack(KEYS)
-- The enqueued job has begun: a user that is put from here on finds a leader, or needs a new wake-up.
redis.call('DEL', wakeup)
if count_due(due, leases) == 0 or read_mark(leader) then return 0 end
set_mark(leader, tonumber(ARGV[2]), ARGV[1])
return 1
