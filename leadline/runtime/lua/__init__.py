"""Lua scripts that Redis runs: each is one step, so no step is ever half done."""

from pathlib import Path

import redis
from redis.commands.core import Script

#: Every script begins with it: Redis' clock counts, so that machines need not agree on the time.
SERVER = (Path(__file__).parent / "server.lua").read_text(encoding="utf-8")


def script(connection: redis.Redis, folder: Path, *names: str) -> Script:
    """These files of a folder as one script, after `server.lua`, which defines `time` and `now`."""
    parts = [(folder / f"{name}.lua").read_text(encoding="utf-8") for name in names]
    return connection.register_script("".join((SERVER, *parts)))
