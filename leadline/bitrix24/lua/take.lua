-- Token bucket: take tokens, in advance if none is left.
-- KEYS bucket, epoch   ARGV rate per second, capacity, tokens to take (-1 gives one back)
-- Counts each token in the slot in which it may be used, in KEYS[1]:sent:<unix seconds / 5>.
-- Returns the microseconds until the token may be used, and how full the bucket is, in millionths.
local now_s = time[1] + time[2] / 1000000
local rate, capacity, take = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local epoch, began_ms = ensure_epoch(KEYS[2])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'epoch')
local tokens, at = tonumber(bucket[1] or 0), tonumber(bucket[2] or 0)
if bucket[3] ~= epoch then
  -- What was sent just before this epoch is unknown: it may have been all that the portal allows.
  tokens, at = math.min(tokens, 0), began_ms / 1000
end
tokens = math.min(capacity, tokens + math.max(0, now_s - at) * rate) - take
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now_s), 'epoch', epoch)
redis.call('EXPIRE', KEYS[1], math.ceil(capacity / rate) + 60) -- full by then
if take ~= 0 then
  local sent = KEYS[1] .. ':sent:' .. math.floor((now_s + math.max(0, -tokens / rate)) / 5)
  redis.call('INCRBY', sent, take)
  redis.call('EXPIRE', sent, 900)
end
local wait_us = tokens < 0 and math.ceil(-tokens / rate * 1000000) or 0
return {wait_us, math.floor(math.max(0, tokens) / capacity * 1000000)}
