"""Methods on the portal itself: users, events, rights."""
