"""The work queue's Lua scripts."""

from pathlib import Path

import redis
from redis.commands.core import Script

from leadline.runtime import lua

_FOLDER = Path(__file__).parent


def script(connection: redis.Redis, *names: str) -> Script:
    """The files of these names, joined into one script.

    It begins with the files of `leadline.runtime.lua`, which define `now` (Redis' clock in ms),
    `time`, `run_id` and `ensure_epoch`.
    """
    return lua.script(connection, _FOLDER, *names)
