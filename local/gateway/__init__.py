"""The one address of a local system: REST paths, /function/<name>, and the health of every part."""
