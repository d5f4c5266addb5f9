-- The pause in force. A hold that the caller has seen ends by `release` only: put it back if it is gone.
-- KEYS pause, resumed   ARGV since when the hold lasts that the caller has seen ('' none), its reason
-- Returns {Redis' clock, the pause as names and texts}
if ARGV[1] ~= '' then restore_hold(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) end
return {now, redis.call('HGETALL', KEYS[1])}
