-- Claim the probe that is due, and set the time of the next one.
-- KEYS outage   ARGV seconds between probes, the last one repeats
-- Returns 1 for the one caller that may probe now.
local outage = KEYS[1]
local probe_at = redis.call('HGET', outage, 'next_probe_at')
if not probe_at or redis.call('HEXISTS', outage, 'held') == 1 then return 0 end
-- A probe that is due later than the longest wait was scheduled before the clock was set back.
local wait = probe_at - now / 1000
if wait > 0 and wait <= tonumber(ARGV[#ARGV]) then return 0 end
local step = ARGV[math.min(redis.call('HINCRBY', outage, 'probes', 1) + 1, #ARGV)]
redis.call('HSET', outage, 'next_probe_at', string.format('%.3f', now / 1000 + step))
return 1
