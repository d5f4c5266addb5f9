-- The Redis epoch: the time since when Redis' memory is complete. Begins a new one if there is none or
-- the server is another one: a server that was flushed, restarted or failed over may have lost
-- everything, or the writes of its last second (with appendfsync everysec, or not replicated yet).
-- Returns the epoch's unique id and its start in unix ms.
local function ensure_epoch(key)
  local server, began = run_id(), redis.call('HGET', key, 'born')
  if not began or redis.call('HGET', key, 'run_id') ~= server then
    began = string.format('%.0f', now)
    redis.call('HSET', key, 'run_id', server, 'born', began)
  end
  return began .. '-' .. string.sub(server, 1, 8), tonumber(began)
end
