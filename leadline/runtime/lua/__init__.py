"""Lua scripts that Redis runs: each is one step, so no step is ever half done."""

from pathlib import Path

import redis
from redis.commands.core import Script

_HERE = Path(__file__).parent
#: Redis' clock counts, so that machines need not agree on the time.
SERVER = (_HERE / "server.lua").read_text(encoding="utf-8")
_EPOCH = (_HERE / "epoch.lua").read_text(encoding="utf-8")


def script(connection: redis.Redis, folder: Path, *names: str) -> Script:
    """These files of a folder as one script.

    They see `time` and `now` of server.lua, and `epoch_of` of epoch.lua.
    """
    parts = [(folder / f"{name}.lua").read_text(encoding="utf-8") for name in names]
    return connection.register_script("".join((SERVER, _EPOCH, *parts)))
