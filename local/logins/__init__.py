"""Who may do what at the servers: a login for each part, in each server's own words."""
