-- Token bucket: take one token, if need be one that is still to come.
-- KEYS[1] the bucket   ARGV rate per second, capacity, tokens to take (-1 gives one back)
-- Counts what is taken for the seconds in which it may be sent, in KEYS[1]:sent:<unix seconds / 5>.
-- Returns the microseconds to wait until the taken token is there, and how full the bucket is in
-- millionths.
local now_s = time[1] + time[2] / 1000000
local rate, capacity, take = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(bucket[1] or capacity)
local at = tonumber(bucket[2] or now_s)
tokens = math.min(capacity, tokens + math.max(0, now_s - at) * rate) - take
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now_s))
redis.call('EXPIRE', KEYS[1], math.ceil(capacity / rate) + 60)
if take ~= 0 then
  local sent = KEYS[1] .. ':sent:' .. math.floor((now_s + math.max(0, -tokens / rate)) / 5)
  redis.call('INCRBY', sent, take)
  redis.call('EXPIRE', sent, 900)
end
local wait_us = tokens < 0 and math.ceil(-tokens / rate * 1000000) or 0
return {wait_us, math.floor(math.max(0, tokens) / capacity * 1000000)}
