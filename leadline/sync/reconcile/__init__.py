"""Reconcile: finds the drift between the portal and Postgres, reading at a bounded rate."""
