"""What our processes have written, line by line."""

import json
from collections.abc import Iterator
from typing import Any

from tests.system import System

#: Programs that are not ours write as they like; the emulator stands for a foreign portal.
_FOREIGN = {"postgres", "rabbitmq", "redis", "epmd", "supervisord", "bitrix24"}


def raw_lines(system: System) -> Iterator[tuple[str, str]]:
    """Every line of our processes with the name of its file."""
    for path in sorted(system.state.logs.glob("*.log*")):
        if path.name.split(".")[0] not in _FOREIGN:
            for line in path.read_text(encoding="utf-8").splitlines():
                yield path.name, line


def of_call(system: System, correlation_id: str) -> list[dict[str, Any]]:
    """The lines that belong to one HTTP call, in the order of their times."""
    found = [
        json.loads(line)
        for _, line in raw_lines(system)
        if f'"{correlation_id}"' in line and line.endswith("}")
    ]
    mine = [line for line in found if line.get("correlation_id") == correlation_id]
    return sorted(mine, key=lambda line: str(line["timestamp"]))
