"""Real servers for tests."""

from local.private.servers import PrivateServer, private
from local.private.waiting import eventually

__all__ = ["PrivateServer", "eventually", "private"]
