"""Lua scripts for Redis; each runs atomically."""

from pathlib import Path
from typing import Any

import orjson
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


def arguments(**params: Any) -> list[bytes]:
    """A script's arguments as one JSON object; it reads them with `cjson.decode(ARGV[1])`.

    None is left out, since cjson decodes null to a value that counts as true.
    """
    return [orjson.dumps(without_none(params))]


def without_none(params: dict[str, Any]) -> dict[str, Any]:
    """The items whose value is not None."""
    return {name: value for name, value in params.items() if value is not None}
