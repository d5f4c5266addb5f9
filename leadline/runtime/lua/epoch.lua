-- The Redis epoch: since when its memory is complete. A server that was flushed, restarted or failed
-- over has lost everything, or its last second. Returns the epoch's unique id and its start in ms.
local function epoch_of(memory)
  local server, began = run_id(), redis.call('HGET', memory, 'born')
  if not began or redis.call('HGET', memory, 'run_id') ~= server then
    began = string.format('%.0f', now)
    redis.call('HSET', memory, 'run_id', server, 'born', began)
  end
  return began .. '-' .. string.sub(server, 1, 8), tonumber(began)
end
