-- Move an unreadable entry out of the way, for an operator, so that it blocks no other.
-- KEYS due, leases, entry, key to move it to   ARGV user, longest call in ms
set_aside(KEYS[1], KEYS[2], ARGV[1], KEYS[3], KEYS[4], tonumber(ARGV[2]))
