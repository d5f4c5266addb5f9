-- The Redis server that runs this script: its clock in ms, and its id, which changes at each start.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function run_id() return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') end
