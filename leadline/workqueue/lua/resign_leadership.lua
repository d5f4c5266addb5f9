-- Gather no more, unless another one does by now.
-- KEYS gatherer   ARGV name
if marked(KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
