-- Operating budget: record one method's timing, and return its reservation.
-- KEYS the method's account, epoch
-- ARGV reserved microseconds, used seconds ('' unknown), seconds until the reset, seconds per command
--      ('' unknown), whether there was an answer ('1', '0')
local now_s = time[1] + time[2] / 1000000
local account = redis.call('HMGET', KEYS[1], 'reserved', 'per', 'used', 'reset_at')
local reserved = math.max(0, tonumber(account[1] or 0) - tonumber(ARGV[1]) / 1000000)
redis.call('HSET', KEYS[1], 'reserved', tostring(reserved))
if ARGV[2] ~= '' then
  -- Answers of parallel calls come in any order: until the reset, the greatest is the newest.
  local used = tonumber(ARGV[2])
  if now_s < tonumber(account[4] or 0) then used = math.max(used, tonumber(account[3] or 0)) end
  redis.call('HSET', KEYS[1], 'used', tostring(used), 'reset_at', tostring(now_s + ARGV[3]))
end
if ARGV[4] ~= '' then
  local per = tonumber(ARGV[4])
  if account[2] then per = 0.5 * per + 0.5 * tonumber(account[2]) end
  redis.call('HSET', KEYS[1], 'per', tostring(per))
end
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'epoch', (epoch_of(KEYS[2]))) end
redis.call('EXPIRE', KEYS[1], 86400)
return 1
