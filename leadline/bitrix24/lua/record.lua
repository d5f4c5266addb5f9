-- Operating budget: record one method's timing, and return its reservation.
-- KEYS the method's account, epoch
-- ARGV a JSON object: reserved_us, used_s (absent: unknown), reset_in_s, per_command_s (absent:
-- unknown), is_answered
local args = cjson.decode(ARGV[1])
local now_s = time[1] + time[2] / 1000000
local account = redis.call('HMGET', KEYS[1], 'reserved', 'per', 'used', 'reset_at')
local reserved = math.max(0, tonumber(account[1] or 0) - args.reserved_us / 1000000)
redis.call('HSET', KEYS[1], 'reserved', tostring(reserved))
if args.used_s then
  -- Answers of parallel calls come in any order: until the reset, the greatest is the newest.
  local used = args.used_s
  if now_s < tonumber(account[4] or 0) then used = math.max(used, tonumber(account[3] or 0)) end
  redis.call('HSET', KEYS[1], 'used', tostring(used), 'reset_at', tostring(now_s + args.reset_in_s))
end
if args.per_command_s then
  local per = args.per_command_s
  if account[2] then per = 0.5 * per + 0.5 * tonumber(account[2]) end
  redis.call('HSET', KEYS[1], 'per', tostring(per))
end
if args.is_answered then redis.call('HSET', KEYS[1], 'epoch', (ensure_epoch(KEYS[2]))) end
redis.call('EXPIRE', KEYS[1], 86400)
return 1
