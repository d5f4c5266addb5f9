-- Put an event into its user's entry; the user waits once, however many events came.
-- KEYS due, leases, entry, events, RQ's list   ARGV user, event id, event, state, version, touches
-- stage ('1', '0', '?'), first delivery ('1', '0'), lead id, wants the lead looked at ('1', '0')
-- Returns how many jobs wait in RQ.
local due, leases, entry, events, jobs = unpack(KEYS)
local user, event_id, event, state, version, touches, first, lead, look = unpack(ARGV)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if redis.call('EXISTS', entry) == 0 then
  redis.call('HSET', entry, 'since', now)
  -- Whoever served an earlier delivery, or an earlier message, may have made a lead that this
  -- memory has forgotten.
  local doubt = first == '0' and 'forgotten' or version == '' and 'unversioned' or 'overtaken'
  if version ~= '1' or first == '0' then redis.call('HSET', entry, 'doubt', doubt) end
end
redis.call('PERSIST', entry)
redis.call('PERSIST', events)

-- Versions are a million apart; messages without one line up behind the newest, as they arrive.
local newest = tonumber(redis.call('HGET', entry, 'order') or 0)
local order
if version ~= '' then order = tonumber(version) * 1000000
elseif redis.call('HGET', entry, 'last_event') == event_id then order = newest
else order = newest + 1 end
local order_text = string.format('%.0f', order)

if touches == '?' and state ~= '' then
  local before = redis.call('HGET', entry, 'state')
  touches = before and cjson.decode(before).stage ~= cjson.decode(state).stage and '1' or '0'
end
if state ~= '' and order > newest then
  redis.call('HSET', entry, 'state', state, 'order', order_text, 'last_event', event_id)
end
if touches == '1' and order > tonumber(redis.call('HGET', entry, 'stage_order') or 0) then
  redis.call('HSET', entry, 'stage_order', order_text)
end
if look == '1' and order > tonumber(redis.call('HGET', entry, 'look_order') or 0) then
  redis.call('HSET', entry, 'look_order', order_text)
end
if lead ~= '' then redis.call('HSET', entry, 'hint', lead) end
-- An event that is here already keeps its attempts.
local is_new = redis.call('HSETNX', events, event_id, order_text .. ' ' .. event) == 1
-- Every version up to the newest has come, each for the first time: nothing was forgotten, the
-- older ones were only overtaken.
if is_new and first == '1' and version ~= '' and redis.call('HEXISTS', entry, 'agreed') == 0 then
  local firsts = redis.call('HINCRBY', entry, 'firsts', 1)
  local is_whole = firsts * 1000000 == math.max(order, newest)
  if is_whole and redis.call('HGET', entry, 'doubt') == 'overtaken' then
    redis.call('HDEL', entry, 'doubt', 'wait_until')
  end
end

-- A user that waits for its retry goes on waiting; a leased one comes back by itself.
if not redis.call('ZSCORE', leases, user) then redis.call('ZADD', due, 'NX', now, user) end
return redis.call('LLEN', jobs)
