-- The number of due users, including those with expired leases.
local function count_due(due, leases)
  return redis.call('ZCOUNT', due, '-inf', now) + redis.call('ZCOUNT', leases, '-inf', now)
end

-- Set a mark: a key with a name and the time at which it expires. Redis deletes it later, and need not do
-- so on time.
local function set_mark(key, for_ms, name)
  redis.call('SET', key, string.format('%.0f', now + for_ms) .. ' ' .. (name or ''), 'PX', 60000 + for_ms)
end

-- Returns the name of a mark that has not expired, else nil or false.
local function read_mark(key)
  local ends_at, name = string.match(redis.call('GET', key) or '', '^(%d+) (.*)$')
  return ends_at and tonumber(ends_at) > now and name
end

-- Claim the wake-up, unless a worker is about to lease the due users: a batch leader fills a batch, or
-- a job was enqueued within `for_ms` that no worker has begun. Returns whether the caller got the claim:
-- then it must enqueue a job.
local function claim_wakeup(leader, wakeup, for_ms)
  if read_mark(leader) or read_mark(wakeup) then return false end
  set_mark(wakeup, tonumber(for_ms))
  return true
end
