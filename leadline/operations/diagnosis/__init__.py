"""What an operator asks about users and events: why, what failed, what happens now."""
