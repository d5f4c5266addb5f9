"""The work queue's Lua scripts: each is one step, so no step is ever half done."""

from pathlib import Path

import redis
from redis.commands.core import Script

_LUA = Path(__file__).parent / "lua"


def script(connection: redis.Redis, *names: str) -> Script:
    """These files as one script; each begins by reading Redis' clock."""
    parts = ((_LUA / f"{name}.lua").read_text(encoding="utf-8") for name in ("clock", *names))
    return connection.register_script("".join(parts))
