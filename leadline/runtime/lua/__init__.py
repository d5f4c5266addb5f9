"""Lua scripts for Redis; each runs atomically."""

from pathlib import Path

import redis
from redis.commands.core import Script

_HERE = Path(__file__).parent
#: Redis' clock is used, so that the clocks of machines need not agree.
SERVER = (_HERE / "server.lua").read_text(encoding="utf-8")
_EPOCH = (_HERE / "epoch.lua").read_text(encoding="utf-8")


def script(connection: redis.Redis, folder: Path, *names: str) -> Script:
    """Register these files of a folder as one script, after server.lua and epoch.lua."""
    parts = [(folder / f"{name}.lua").read_text(encoding="utf-8") for name in names]
    return connection.register_script("".join((SERVER, _EPOCH, *parts)))
