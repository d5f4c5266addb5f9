-- Since when Redis remembers everything, in ms. One that was emptied or restarted has forgotten all,
-- or its last second: its memory is born anew.
local function born(memory, now)
  local run_id = run_id()
  if redis.call('HGET', memory, 'run_id') ~= run_id then
    redis.call('HSET', memory, 'run_id', run_id, 'born', now)
  end
  return tonumber(redis.call('HGET', memory, 'born'))
end
