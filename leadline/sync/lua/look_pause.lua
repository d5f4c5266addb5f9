-- The pause in force. A hold that the caller saw in an earlier memory of Redis is put back before.
-- KEYS pause, resumed, memory   ARGV since when the memory was whole in which the caller saw a hold,
-- since when it was held ('' it saw none), its reason
-- Returns {since when Redis remembers everything, Redis' clock, the pause as names and texts}
local pause, resumed, memory = unpack(KEYS)
local seen_in, since, reason = unpack(ARGV)
local whole_since = born(memory, now)
if since ~= '' and tonumber(seen_in) ~= whole_since then
  restore_hold(pause, resumed, since, reason)
end
return {whole_since, now, redis.call('HGETALL', pause)}
