"""Collects all output of a running system that operators or their tools may read."""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import redis
import requests

from tests.servers import eventually
from tests.system import CHECKOUT, System

#: The emulator stands for a foreign portal.
_FOREIGN = {"bitrix24"}
#: The work queue's data of a user is personal (docs/security.md); all else in Redis must not be.
_OF_A_USER = b"}:user:"


def lines(system: System) -> Iterator[tuple[str, str]]:
    """Every line with the name of its source: logs, metrics, dead letters, Redis."""
    yield from logs(system)
    for name, url in _processes(system):
        text = _metrics(name, url)
        yield from ((f"metrics of {name}", line) for line in text.splitlines())
    yield "dead letters", _dead_letters(system)
    with redis.Redis.from_url(system.url("redis")) as client:
        yield from _in_redis(client)


def logs(system: System) -> Iterator[tuple[str, str]]:
    """Every line of every log, the servers' own included."""
    for path in sorted(system.state.logs.glob("*.log*")):
        if path.name.split(".")[0] not in _FOREIGN:
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                yield path.name, line


def _processes(system: System) -> Iterator[tuple[str, str]]:
    """Processes with metrics."""
    yield from system.run["functions"].items()
    ports = json.loads((system.state.root / "ports.json").read_text(encoding="utf-8"))
    for name in ("connector", *(name for name in ports if name.startswith("worker"))):
        if name in system.run["processes"]:
            yield name, f"http://127.0.0.1:{ports[name]}"


def _metrics(name: str, url: str) -> str:
    """The metrics of a process, which may have just started."""
    answers: list[requests.Response] = []

    def has_answered() -> bool:
        with suppress(requests.ConnectionError):
            answers.append(requests.get(f"{url}/metrics", timeout=60))
        return bool(answers)

    eventually(has_answered, 120, f"{name} exports its metrics")
    return answers[0].text


def _dead_letters(system: System) -> str:
    """The listing, as the command line shows it."""
    command = (sys.executable, "-m", "leadline", "dead-letters", "list", "--json")
    result = subprocess.run(
        command,
        check=True,
        cwd=CHECKOUT,
        env={**os.environ, "LEADLINE_STATE": str(system.state.root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return result.stdout


def _in_redis(client: redis.Redis) -> Iterator[tuple[str, str]]:
    """Each key with its value; `DUMP` would be compressed."""
    readers: dict[Any, Any] = {
        b"string": lambda key: {b"": client.get(key) or b""},
        b"hash": client.hgetall,
        b"list": lambda key: dict(enumerate(client.lrange(key, 0, -1))),
        b"set": lambda key: dict.fromkeys(client.smembers(key)),
        b"zset": lambda key: dict.fromkeys(client.zrange(key, 0, -1)),
        b"stream": lambda key: dict(client.xrange(key) or ()),
    }
    for key in client.scan_iter("*"):
        read = readers.get(client.type(key))
        if read and _OF_A_USER not in key:
            for name, value in read(key).items():
                yield f"Redis {key.decode()}", f"{_text(name)} {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{_text(name)} {_text(item)}" for name, item in value.items())
    if not isinstance(value, bytes):
        return str(value)
    with suppress(zlib.error):
        value = zlib.decompress(value)
    return value.decode(errors="replace")
