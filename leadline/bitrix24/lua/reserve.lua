-- Execution time of one method: how many commands may be sent, and reserve their time.
-- KEYS the method's account, Redis' epoch   ARGV commands wanted, limit in seconds, commands of a probe,
--                                seconds after which a reservation counts as lost
-- Returns {commands allowed, reserved microseconds, milliseconds until more may be allowed}
local now_s = time[1] + time[2] / 1000000
local wanted, limit, probe, lost_s = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local account = redis.call('HMGET', KEYS[1], 'used', 'reset_at', 'per', 'reserved', 'until', 'epoch')
local used, reset_at = tonumber(account[1] or 0), tonumber(account[2] or 0)
local per, reserved = tonumber(account[3] or 0), tonumber(account[4] or 0)
if tonumber(account[5] or 0) < now_s then reserved = 0 end

-- Sums of fractions leave crumbs.
if reserved < 0.001 then reserved = 0 end

local epoch, began = epoch_of(KEYS[2])
local allowed, wait_s = wanted, 1
if began > 1 and account[6] ~= epoch then
  -- What was used last is forgotten: the first answer of this epoch tells.
  allowed = probe
end
if per > 0 and used > 0 then
  if now_s < reset_at then
    allowed = math.min(allowed, math.max(0, math.floor((limit - used - reserved) / per)))
    if used + per > limit then wait_s = reset_at - now_s end
  elseif used + reserved + wanted * per > limit then
    -- The oldest minute is forgotten by now, how much it held is not known: ask with a few.
    allowed = reserved > 0 and 0 or probe
  end
end
allowed = math.min(wanted, allowed)
redis.call('HSET', KEYS[1], 'reserved', tostring(reserved + allowed * per), 'until', now_s + lost_s)
return {allowed, math.floor(allowed * per * 1000000), math.ceil(wait_s * 1000)}
