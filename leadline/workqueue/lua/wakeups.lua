-- The number of due users, including those with expired leases.
local function count_due(due, leases)
  return redis.call('ZCOUNT', due, '-inf', now) + redis.call('ZCOUNT', leases, '-inf', now)
end

-- A mark holds the time of its own expiry. Redis deletes it later, and need not do so on time.
local function mark(key, for_ms, name)
  redis.call('SET', key, string.format('%.0f', now + for_ms) .. ' ' .. (name or ''), 'PX', 60000 + for_ms)
end

-- Returns the mark's name until it expires.
local function marked(key)
  local ends_at, name = string.match(redis.call('GET', key) or '', '^(%d+) (.*)$')
  return ends_at and tonumber(ends_at) > now and name
end

-- Claim the wake-up, unless a worker is about to lease the due users: a batch leader fills a batch, or
-- a job was enqueued within `for_ms` that no worker has begun. Returns whether the caller got the claim:
-- then it must enqueue a job.
local function claim_wakeup(leader, wakeup, for_ms)
  if marked(leader) or marked(wakeup) then return false end
  mark(wakeup, tonumber(for_ms))
  return true
end
