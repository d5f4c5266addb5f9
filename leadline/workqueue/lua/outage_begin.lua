-- Begin an outage, or update its reason; a manual hold keeps its own.
-- KEYS outage   ARGV code, reason, seconds until the first probe
-- Returns 1 if it begins.
local outage = KEYS[1]
if redis.call('HEXISTS', outage, 'held') == 1 then return 0 end
local is_new = redis.call('HSETNX', outage, 'since', string.format('%.3f', now / 1000))
redis.call('HSET', outage, 'code', ARGV[1], 'reason', ARGV[2])
if is_new == 1 then
  local probe_at = string.format('%.3f', now / 1000 + ARGV[3])
  redis.call('HSET', outage, 'probes', 0, 'next_probe_at', probe_at)
end
return is_new
