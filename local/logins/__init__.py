"""A login with minimal rights for each process, in each server's own terms."""
