-- Users that are due, those of expired leases among them.
local function count_due(due, leases)
  return redis.call('ZCOUNT', due, '-inf', now) + redis.call('ZCOUNT', leases, '-inf', now)
end

-- Marks that end by themselves hold the time of their end. Redis forgets them later: it need not do
-- so in time.
local function mark(key, for_ms, name)
  redis.call('SET', key, string.format('%.0f', now + for_ms) .. ' ' .. (name or ''), 'PX', 60000 + for_ms)
end

-- Returns the mark's name while it lasts.
local function marked(key)
  local ends_at, name = string.match(redis.call('GET', key) or '', '^(%d+) (.*)$')
  return ends_at and tonumber(ends_at) > now and name
end

-- Whether a worker will look at what is due: one gathers a batch, or a job was enqueued within `for_ms`
-- that no worker has begun. If not the caller must enqueue a job, and counts as having done so.
local function is_wakeup_under_way(gatherer, called, for_ms)
  if marked(gatherer) or marked(called) then return true end
  mark(called, tonumber(for_ms))
  return false
end
