"""Leads beside users: what differs between the portal and Postgres, read at a bounded rate."""
