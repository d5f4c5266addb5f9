-- Put events into their users' entries; a user is queued once, for any number of pending events.
-- KEYS due, leases, epoch, leader, wake-up, republish, and for each event its user's entry and events
-- ARGV a JSON object: wakeup_ms (until a claimed wake-up expires), call_ms (longest call), and events,
-- each of which has
--   user, event_id, event    the event as stored
--   state                    the desired state as stored; absent: it can't be applied
--   fields                   further fields of the desired state; absent: they stay unchanged
--   version                  absent: order of arrival
--   touches_stage            absent: only if it differs from the previous desired stage
--   is_first                 first delivery
--   occurred_at_ms           absent: unknown
--   lead_id                  the lead that the sender claims, if any
--   is_lookup_requested
--   is_erasure               the user was erased
--   creates_anyway           an operator decided to create a lead without searching for duplicates
--   is_quiet                 the lead is created without starting robots
--   stage_version            an earlier version, whose stage this event also writes; absent: none
--   sent_at_ms               when this was the sender's newest open event of the user; absent: it
--                            doesn't republish unanswered events
--   history                  of the sender's database, if it names one
--   originator               of the leads, if the sender names one
--   stage_set                version that set the stage which the user has in the sender's database;
--                            absent: unknown
-- Ids and texts to be stored are strings: Lua's numbers are exact only below 2^53.
-- Returns for each event 1 if a worker will lease the user, 0 if the caller must enqueue a job, or -1
-- if the event is too old to be put.
local due, leases, epoch_key, leader, wakeup, republish = unpack(KEYS)
local args = cjson.decode(ARGV[1])
local epoch, began = ensure_epoch(epoch_key)
-- Whether an event of this call has already claimed the wake-up, or found that none is needed.
local is_wakeup_decided

-- Reject the settlement of a worker that has leased the user, if any.
local function reject_settlement(entry, user)
  if not redis.call('ZSCORE', leases, user) then return end
  local fence = number(redis.call('HGET', entry, 'fence'))
  redis.call('HSET', entry, 'fence', string.format('%.0f', fence + 1))
end

-- The sender's database has lost its newest versions, whose numbers now name other states. Last applied
-- remains valid; the newest version doesn't. Returns the sequence number of the newest message that
-- touched the stage.
local function begin_history(entry, events, user, history)
  local stage_order = number(redis.call('HGET', entry, 'stage_order'))
  redis.call('HSET', entry, 'history', history, 'order', 0, 'agreed_order', 0, 'stage_order', 0,
    'agreed_stage_order', 0, 'look_order', 0, 'looked_order', 0, 'running_order', 0)
  redis.call('HDEL', entry, 'last_event', 'fields', 'refused')
  -- The events of the lost history are older than any message of the new one: -1.
  local stored = redis.call('HGETALL', events)
  for at = 1, #stored, 2 do
    redis.call('HSET', events, stored[at], '-1 ' .. (string.match(stored[at + 1], '^%S+ (.*)$') or ''))
  end
  -- A worker that has leased the user uses the old numbers.
  reject_settlement(entry, user)
  return stage_order
end

-- Postgres may be restored to a time before the erasure: remember whom to erase again.
local function remember_erasure(entry, request)
  local erased = string.gsub(entry, 'user:.*$', 'erased:' .. (request.originator or ''), 1)
  redis.call('ZADD', erased, request.version or 0, request.user)
end

-- The user was erased. Its sender has closed all earlier events: they get no reply. The id of the lead
-- stays; the lead is looked up before it is erased.
local function forget_person(entry, events, request)
  local lead_id = string.match(redis.call('HGET', entry, 'agreed') or '', '"lead_id":(%d+)')
  if lead_id then redis.call('HSET', entry, 'agreed', '{"lead_id":' .. lead_id .. '}') end
  redis.call('HSET', entry, 'erased', 1)
  -- An erasure that is repeated writes each lead again.
  redis.call('HDEL', entry, 'fields', 'agreed_fields', 'refused', 'erased_leads')
  local unreadable = string.gsub(entry, 'user:', 'unreadable:', 1)
  redis.call('DEL', events, unreadable, unreadable .. ':events')
  -- A worker that has leased the user would write the person back.
  reject_settlement(entry, request.user)
end

-- Store the message's history as the user's, if it is newer. Returns whether the message belongs to a
-- lost history, and, if it has begun a newer one, the sequence number of the message that had touched
-- the stage last.
local function enter_history(entry, events, user, history)
  if not history then return false end
  local current = redis.call('HGET', entry, 'history')
  if current and tonumber(history) < number(current) then return true end
  if not current then
    redis.call('HSET', entry, 'history', history)
  elseif tonumber(history) > number(current) then
    return false, begin_history(entry, events, user, history)
  end
  return false
end

-- Whether the state's stage differs from that of the newest state so far.
local function differs_in_stage(entry, state)
  local stored = redis.call('HGET', entry, 'state')
  local stage = stored and cjson.decode(stored).stage
  return type(stage) == 'string' and stage ~= cjson.decode(state).stage
end

-- Store the originator. A new one means another installation, hence another user with this id and
-- another lead.
local function set_originator(entry, originator)
  local before = redis.call('HGET', entry, 'originator')
  redis.call('HSET', entry, 'originator', originator)
  if before and before ~= originator then
    redis.call('HDEL', entry, 'agreed', 'hint', 'vanished', 'fields', 'agreed_fields', 'refused')
    redis.call('HSET', entry, 'doubt', 1)
  end
end

-- Vouch for the entry in this Redis epoch: its pending events may be applied. A sender that republishes
-- vouches that its message has the newest open state. In the next epoch, the events wait until it
-- republishes them. From a sender that does not republish they would wait forever: it does not vouch.
local function vouch(entry, request, is_only_event)
  if not request.sent_at_ms then
    redis.call('HDEL', entry, 'vouched_epoch')
  elseif is_only_event or redis.call('HEXISTS', entry, 'vouched_epoch') == 1 then
    redis.call('HSET', entry, 'vouched_epoch', epoch)
  end
end

local function put(entry, events, request)
  local user, event_id, state = request.user, request.event_id, request.state
  local version, touches_stage = request.version, request.touches_stage
  local forgotten_at = tonumber(redis.call('HGET', entry, 'forgotten_at'))
  -- A later time than this, by any machine's clock, is after the loss of this user's data.
  local safe_after = math.max(began, forgotten_at or 0) + CLOCK_SKEW_MS
  -- The message may be older: a newer one may have been applied, answered and then lost, unless the
  -- sender has vouched for the entry since.
  if request.sent_at_ms and request.sent_at_ms < safe_after
      and redis.call('HGET', entry, 'vouched_epoch') ~= epoch then
    request_republication(republish, user, safe_after)
    return -1
  end

  -- Without a version nothing proves that the user is new: it waits, and is looked up.
  if request.is_first and version == 1 and request.occurred_at_ms
      and redis.call('HEXISTS', entry, 'fence') == 0 and request.occurred_at_ms >= safe_after then
    -- First delivery, and written in this epoch: no call of this user can have been lost, so the user
    -- waits for none.
    redis.call('HSET', entry, 'epoch', epoch)
    redis.call('ZREM', due, user)
  end
  local is_lost, stage_order_before = enter_history(entry, events, user, request.history)
  if request.is_erasure then remember_erasure(entry, request) end
  if request.originator and not is_lost then set_originator(entry, request.originator) end

  -- Versions are a million apart; messages without one follow the newest in order of arrival.
  local newest = number(redis.call('HGET', entry, 'order'))
  local order
  if is_lost then order = -1
  elseif version then order = version * 1000000
  elseif redis.call('HGET', entry, 'last_event') == event_id then order = newest
  else order = newest + 1 end
  local order_text = string.format('%.0f', order)

  if stage_order_before and not touches_stage and state and request.stage_set then
    -- A move of the lost history may have reached the lead; a stage set by a person is kept.
    touches_stage = stage_order_before > request.stage_set * 1000000
  elseif touches_stage == nil and state then
    touches_stage = differs_in_stage(entry, state)
  end
  if state and order > newest then
    redis.call('HSET', entry, 'state', state, 'order', order_text, 'last_event', event_id)
    if request.fields then
      redis.call('HSET', entry, 'fields', request.fields)
      redis.call('HDEL', entry, 'refused')
    end
    if request.is_erasure then forget_person(entry, events, request)
    else redis.call('HDEL', entry, 'erased', 'erased_leads', 'phone_rows') end
  end
  if touches_stage and not is_lost then
    local stage_order = request.stage_version and request.stage_version * 1000000 or order
    if stage_order > number(redis.call('HGET', entry, 'stage_order')) then
      redis.call('HSET', entry, 'stage_order', string.format('%.0f', stage_order))
    end
  end
  if request.is_lookup_requested and order > number(redis.call('HGET', entry, 'look_order')) then
    redis.call('HSET', entry, 'look_order', order_text)
  end
  if request.lead_id then redis.call('HSET', entry, 'hint', request.lead_id) end
  if request.creates_anyway and not is_lost then redis.call('HSET', entry, 'anyway', 1) end
  if request.is_quiet and not is_lost then redis.call('HSET', entry, 'quiet', 1) end
  local is_only_event = redis.call('EXISTS', events) == 0
  -- An event that is already pending keeps its attempts. An event from before the user was erased is
  -- closed at its sender, and must leave no trace of the person.
  if request.is_erasure or order > newest or redis.call('HEXISTS', entry, 'erased') == 0 then
    redis.call('HSETNX', events, event_id, order_text .. ' ' .. request.event)
  end
  -- Not earlier: a full Redis refuses a script only at its first write, and only if that needs memory;
  -- `vouch` may begin with a deletion, which needs none.
  if not is_lost then vouch(entry, request, is_only_event) end
  redis.call('PERSIST', entry)
  redis.call('PERSIST', events)
  if forgotten_at then redis.call('HDEL', entry, 'forgotten_at') end

  -- A leased user is due again after its release; a delayed one keeps its delay.
  if redis.call('ZSCORE', leases, user) then return 1 end
  redis.call('ZADD', due, 'NX', now, user)
  if is_wakeup_decided or tonumber(redis.call('ZSCORE', due, user)) > now then return 1 end
  is_wakeup_decided = true
  return claim_wakeup(leader, wakeup, args.wakeup_ms) and 0 or 1
end

local results = {}
for at, request in ipairs(args.events) do
  local entry, events = KEYS[5 + 2 * at], KEYS[6 + 2 * at]
  local is_readable, result = try_step(put, entry, events, request)
  if not is_readable then
    local unreadable = string.gsub(entry, 'user:', 'unreadable:', 1)
    set_aside(due, leases, request.user, entry, unreadable, args.call_ms)
    result = put(entry, events, request)
  end
  results[at] = result
end
return results
