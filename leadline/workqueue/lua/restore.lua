-- Put a hold back that the ledger has kept.
-- KEYS pause, resumed   ARGV since, reason
-- Returns 1 where Redis had forgotten it.
return restore_hold(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
