-- wrk ... -- METHOD PATH BODY KEY USERS LIMIT
-- {id} in PATH is a random user id from 1 to USERS.
-- LIMIT: stop after this many requests and print "sent" (0: no limit).
-- The result is JSON on the last line.
local method, path, body, headers, users, limit
local sent = 0
local same -- the one request that is sent each time, if the path has no {id}

function init(args)
  method, path, body = args[1], args[2], args[3]
  headers = {}
  if args[4] ~= "" then headers["Authorization"] = "Bearer " .. args[4] end
  if body == "" then body = nil else headers["Content-Type"] = "application/json" end
  users, limit = tonumber(args[5]), tonumber(args[6])
  math.randomseed(os.time())
  if not path:find("{id}", 1, true) then same = wrk.format(method, path, headers, body) end
end

function request()
  sent = sent + 1
  if sent == limit then
    wrk.thread:stop()
    io.write("sent\n")
    io.flush()
  end
  if same then return same end
  return wrk.format(method, (path:gsub("{id}", math.random(users))), headers, body)
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "not_2xx": %d, "socket_errors": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
