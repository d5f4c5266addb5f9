-- End the leadership, unless another worker leads by now.
-- KEYS leader   ARGV name
if read_mark(KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
