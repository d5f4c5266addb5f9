"""The edge, the single address of a local system: REST paths, /function/<name>, /healthz."""
