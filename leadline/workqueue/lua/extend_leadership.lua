-- Gather for longer, unless another one does by now.
-- KEYS gatherer   ARGV name, for how many ms
if marked(KEYS[1]) == ARGV[1] then mark(KEYS[1], tonumber(ARGV[2]), ARGV[1]) end
