-- Put events into their users' entries; a user waits once, however many events came.
-- KEYS due, leases, memory, RQ's list, gatherer, called, and for each event its user's entry and
-- events   ARGV for each event user, event id, event, state, version, touches stage ('1', '0', '?'),
-- first delivery ('1', '0'), when it occurred in ms ('' unknown), lead id, wants the lead looked at
-- ('1', '0'), version that set the stage ('' this one), when it was sent in ms ('' by somebody who
-- will not send it again)
-- Returns for each how many will look at the user (0, for one at most: enqueue a job), or -1 where
-- the event was not taken.
local due, leases, memory, jobs, gatherer, called = unpack(KEYS)
local since, is_seen_to

local function put(entry, events, user, event_id, event, state, version, touches, first, occurred, lead,
    look, stage_version, sent)
  -- Sent before this memory began, for a user that it does not know: something newer may have been
  -- applied and answered, and forgotten. What is still owed is sent again.
  if sent ~= '' and redis.call('EXISTS', entry) == 0 then
    since = since or born(memory, now)
    if tonumber(sent) < since then return -1 end
  end

  if first == '1' and version == '' and redis.call('EXISTS', entry) == 0 then
    -- It says nothing of its age: taken for as young as it looks, but looked up.
    redis.call('HSET', entry, 'known_since', now, 'doubt', 1)
  elseif first == '1' and version == '1' and occurred ~= '' then
    -- Nobody can have served this user before: what is younger than this memory is known in whole,
    -- and needs no waiting for calls that were forgotten.
    local is_proof = redis.call('HSETNX', entry, 'known_since', occurred) == 1
    if is_proof and redis.call('HEXISTS', entry, 'fence') == 0 then
      redis.call('ZREM', due, user)
    end
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
  if touches == '1' then
    local stage_order = stage_version ~= '' and tonumber(stage_version) * 1000000 or order
    if stage_order > tonumber(redis.call('HGET', entry, 'stage_order') or 0) then
      redis.call('HSET', entry, 'stage_order', string.format('%.0f', stage_order))
    end
  end
  if look == '1' and order > tonumber(redis.call('HGET', entry, 'look_order') or 0) then
    redis.call('HSET', entry, 'look_order', order_text)
  end
  if lead ~= '' then redis.call('HSET', entry, 'hint', lead) end
  -- An event that is here already keeps its attempts.
  redis.call('HSETNX', events, event_id, order_text .. ' ' .. event)

  -- A leased user comes back by itself; one that waits for its retry goes on waiting.
  if redis.call('ZSCORE', leases, user) then return 1 end
  redis.call('ZADD', due, 'NX', now, user)
  if is_seen_to or tonumber(redis.call('ZSCORE', due, user)) > now then return 1 end
  is_seen_to = true
  return count_comers(jobs, gatherer, called)
end

local answers = {}
for at = 1, #ARGV / 12 do
  local entry, events = KEYS[5 + 2 * at], KEYS[6 + 2 * at]
  answers[at] = put(entry, events, unpack(ARGV, 12 * at - 11, 12 * at))
end
return answers
