-- Operating budget: reserve time for commands of one method.
-- KEYS the method's account, epoch
-- ARGV a JSON object: wanted (commands), limit_s, probe (commands),
-- lost_after_s (until a reservation counts as lost)
-- Returns {commands allowed, reserved microseconds, milliseconds until more may be allowed}
local now_s = time[1] + time[2] / 1000000
local args = cjson.decode(ARGV[1])
local wanted, limit, probe = args.wanted, args.limit_s, args.probe
local account = redis.call('HMGET', KEYS[1], 'used', 'reset_at', 'per', 'reserved', 'until', 'epoch')
local used, reset_at = tonumber(account[1] or 0), tonumber(account[2] or 0)
local per, reserved = tonumber(account[3] or 0), tonumber(account[4] or 0)
if tonumber(account[5] or 0) < now_s then reserved = 0 end

-- Rounding errors of sums.
if reserved < 0.001 then reserved = 0 end

local epoch, began = ensure_epoch(KEYS[2])
local allowed, wait_s = wanted, 1
if began > 1 and account[6] ~= epoch then
  -- The time used so far was lost with the previous epoch; the first answer of this one reports it.
  allowed = probe
end
if per > 0 and used > 0 then
  if now_s < reset_at then
    allowed = math.min(allowed, math.max(0, math.floor((limit - used - reserved) / per)))
    if used + per > limit then wait_s = reset_at - now_s end
  elseif used + reserved + wanted * per > limit then
    -- The oldest minute has left the window, but how much it held is unknown: probe with a few.
    allowed = reserved > 0 and 0 or probe
  end
end
allowed = math.min(wanted, allowed)
redis.call('HSET', KEYS[1], 'reserved', tostring(reserved + allowed * per), 'until', now_s + args.lost_after_s)
return {allowed, math.floor(allowed * per * 1000000), math.ceil(wait_s * 1000)}
