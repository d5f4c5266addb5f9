-- Put events into their users' entries; a user waits once, however many events came.
-- KEYS due, leases, memory, gatherer, called, and for each event its user's entry and events
-- ARGV for how many ms the caller counts as coming, longest call in ms, and for each event user,
-- event id, event, state, version, touches stage ('1', '0', '?'), first delivery ('1', '0'), when it occurred in ms ('' unknown), lead id, wants the lead looked at ('1',
-- '0'), version that set the stage ('' this one), when it was sent in ms ('' by somebody who will not
-- send it again), history of the sender's database, originator of the leads, version that set the stage
-- in that database ('' unknown)
-- Returns for each whether a worker will look at the user (0: enqueue a job), or -1 where the event
-- was not taken.
local due, leases, memory, gatherer, called = unpack(KEYS)
local epoch, began = epoch_of(memory)
local is_seen_to
-- So far may the clocks of Redis, of Postgres and of the senders be apart.
local CLOCKS_APART_MS = 10000

-- The sender's database has lost its newest versions: numbers are given to other states from here on.
-- What was last applied still holds; what was the newest version does not. Returns the place of the
-- newest message that touched the stage.
local function begin_history(entry, events, user, history)
  local stage_order = number(redis.call('HGET', entry, 'stage_order'))
  redis.call('HSET', entry, 'history', history, 'order', 0, 'agreed_order', 0, 'stage_order', 0,
    'agreed_stage_order', 0, 'look_order', 0, 'looked_order', 0, 'running_order', 0)
  redis.call('HDEL', entry, 'last_event')
  local stored = redis.call('HGETALL', events)
  for at = 1, #stored, 2 do
    redis.call('HSET', events, stored[at], '-1 ' .. (string.match(stored[at + 1], '^%S+ (.*)$') or ''))
  end
  -- A worker that has leased the user counts in the numbers before: its settlement is refused.
  if redis.call('ZSCORE', leases, user) then
    local fence = number(redis.call('HGET', entry, 'fence'))
    redis.call('HSET', entry, 'fence', string.format('%.0f', fence + 1))
  end
  return stage_order
end

-- Whether the message belongs to a history that was lost; where a newer history begins with it, also
-- the place of what had touched the stage before.
local function is_of_lost_history(entry, events, user, history)
  if history == '' then return false end
  local present = redis.call('HGET', entry, 'history')
  if present and tonumber(history) < number(present) then return true end
  if not present then
    redis.call('HSET', entry, 'history', history)
  elseif tonumber(history) > number(present) then
    return false, begin_history(entry, events, user, history)
  end
  return false
end

-- Whether the state has another stage than the newest one before.
local function differs_in_stage(entry, state)
  local stored = redis.call('HGET', entry, 'state')
  local stage = stored and cjson.decode(stored).stage
  return type(stage) == 'string' and stage ~= cjson.decode(state).stage
end

-- The entry of another installation is of another user with the same id, whose lead is none of ours.
local function name_originator(entry, originator)
  local before = redis.call('HGET', entry, 'originator')
  redis.call('HSET', entry, 'originator', originator)
  if before and before ~= originator then
    redis.call('HDEL', entry, 'agreed', 'hint', 'vanished')
    redis.call('HSET', entry, 'doubt', 1)
  end
end

local function put(entry, events, user, event_id, event, state, version, touches, first, occurred, lead,
    look, stage_version, sent, history, originator, stage_set)
  local forgotten_at = tonumber(redis.call('HGET', entry, 'forgotten_at'))
  local is_known = redis.call('EXISTS', entry) == 1 and not forgotten_at
  -- What others date later than this happened since the user was forgotten.
  local surely_since = math.max(began, forgotten_at or 0) + CLOCKS_APART_MS
  -- Perhaps sent before that: something newer may have been applied and answered, and forgotten. What
  -- is still unanswered is sent again.
  if not is_known and sent ~= '' and tonumber(sent) < surely_since then return -1 end

  -- Without a version nothing shows that the user is new: it is looked up, and waits as others do.
  if first == '1' and version == '1' and occurred ~= '' and redis.call('HEXISTS', entry, 'fence') == 0
      and tonumber(occurred) >= surely_since then
    -- Never delivered before and written in this epoch: no call of this user can have been forgotten.
    redis.call('HSET', entry, 'epoch', epoch)
    redis.call('ZREM', due, user)
  end
  local is_lost, stage_order_before = is_of_lost_history(entry, events, user, history)
  if originator ~= '' and not is_lost then name_originator(entry, originator) end

  -- Versions are a million apart; messages without one line up behind the newest, as they arrive.
  local newest = number(redis.call('HGET', entry, 'order'))
  local order
  if is_lost then order = -1
  elseif version ~= '' then order = tonumber(version) * 1000000
  elseif redis.call('HGET', entry, 'last_event') == event_id then order = newest
  else order = newest + 1 end
  local order_text = string.format('%.0f', order)

  if stage_order_before and touches ~= '1' and state ~= '' and stage_set ~= '' then
    -- A move that was lost may have reached the lead; a stage that a person set stays.
    touches = stage_order_before > tonumber(stage_set) * 1000000 and '1' or '0'
  elseif touches == '?' and state ~= '' then
    touches = differs_in_stage(entry, state) and '1' or '0'
  end
  if state ~= '' and order > newest then
    redis.call('HSET', entry, 'state', state, 'order', order_text, 'last_event', event_id)
  end
  if touches == '1' and not is_lost then
    local stage_order = stage_version ~= '' and tonumber(stage_version) * 1000000 or order
    if stage_order > number(redis.call('HGET', entry, 'stage_order')) then
      redis.call('HSET', entry, 'stage_order', string.format('%.0f', stage_order))
    end
  end
  if look == '1' and order > number(redis.call('HGET', entry, 'look_order')) then
    redis.call('HSET', entry, 'look_order', order_text)
  end
  if lead ~= '' then redis.call('HSET', entry, 'hint', lead) end
  -- An event that is here already keeps its attempts.
  redis.call('HSETNX', events, event_id, order_text .. ' ' .. event)
  -- Last: a full Redis refuses only the first write of a script, and only one that needs memory.
  redis.call('PERSIST', entry)
  redis.call('PERSIST', events)
  if forgotten_at then redis.call('HDEL', entry, 'forgotten_at') end

  -- A leased user comes back by itself; one that waits for its retry goes on waiting.
  if redis.call('ZSCORE', leases, user) then return 1 end
  redis.call('ZADD', due, 'NX', now, user)
  if is_seen_to or tonumber(redis.call('ZSCORE', due, user)) > now then return 1 end
  is_seen_to = true
  return is_wakeup_under_way(gatherer, called, ARGV[1]) and 1 or 0
end

local FIELDS = 15
local answers = {}
for at = 1, (#ARGV - 2) / FIELDS do
  local entry, events = KEYS[4 + 2 * at], KEYS[5 + 2 * at]
  local first = FIELDS * (at - 1) + 3
  local is_readable, answer = attempt(put, entry, events, unpack(ARGV, first, first + FIELDS - 1))
  if not is_readable then
    local kept = string.gsub(entry, 'user:', 'unreadable:', 1)
    set_aside(due, leases, ARGV[first], entry, kept, tonumber(ARGV[2]))
    answer = put(entry, events, unpack(ARGV, first, first + FIELDS - 1))
  end
  answers[at] = answer
end
return answers
