-- Lead for longer, unless another worker leads by now.
-- KEYS leader   ARGV name, ms until the leadership expires
if read_mark(KEYS[1]) == ARGV[1] then set_mark(KEYS[1], tonumber(ARGV[2]), ARGV[1]) end
