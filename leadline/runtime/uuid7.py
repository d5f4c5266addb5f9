"""Bounds of UUIDv7 by time: such an id begins with the unix milliseconds of its creation.

RFC 9562, 5.7. Event ids are UUIDv7, so a range of ids is a range of time, and needs no other index.
"""

from uuid import UUID


def first_at(unix_s: float) -> UUID:
    """The lowest UUIDv7 of this time (unix seconds): every later id is greater."""
    return UUID(int=max(0, int(unix_s * 1000)) << 80)
