"""Commands about users: list, show, failed, resync."""
