-- Claim leads without an origin for users that are about to be linked to them: one user gets each.
-- KEYS epoch, and a key for each lead
-- ARGV a JSON object: users (one for each lead), call_ms (longest call), claim_ms (until a claim
-- expires: longer than a call together with the time that a read lead may be used)
-- Returns for each lead 0 if it is claimed, -1 if another user has it, else ms to wait: until then a
-- call that began before Redis lost its data may link the lead.
local args = cjson.decode(ARGV[1])
local _, began = ensure_epoch(KEYS[1])

local function claim(key, user)
  if now < began + args.call_ms then return began + args.call_ms - now end
  local holder = redis.call('GET', key)
  if holder and holder ~= user then return -1 end
  redis.call('SET', key, user, 'PX', args.claim_ms)
  return 0
end

local results = {}
for at, user in ipairs(args.users) do results[at] = claim(KEYS[at + 1], user) end
return results
