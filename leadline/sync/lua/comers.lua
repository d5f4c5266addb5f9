-- Users that are due, those of expired leases among them.
local function count_due(due, leases)
  return redis.call('ZCOUNT', due, '-inf', now) + redis.call('ZCOUNT', leases, '-inf', now)
end

-- How many will look at what is due: jobs that wait in RQ, one who gathers a batch, and one whom
-- somebody was just told to call. Where there is none the caller is told so, and must enqueue a job.
local function count_comers(jobs, gatherer, called)
  local found = redis.call('LLEN', jobs) + redis.call('EXISTS', gatherer)
  if found == 0 and not redis.call('SET', called, 1, 'NX', 'PX', 250) then return 1 end
  return found
end
