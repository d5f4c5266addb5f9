-- Keep an entry that can't be read for an operator, out of the way of the others.
-- KEYS due, leases, entry, where to keep it   ARGV user, longest call in ms
set_aside(KEYS[1], KEYS[2], ARGV[1], KEYS[3], KEYS[4], tonumber(ARGV[2]))
