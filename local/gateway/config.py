"""Addresses of functions and other parts: a JSON file, reloaded when it changes."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_POLL_EVERY_S = 0.5


@dataclass(frozen=True)
class Relay:
    """The schedule's heartbeat: a file touched after every tick."""

    tick: Path
    every_s: float


@dataclass(frozen=True)
class Config:
    """The content of the file; missing parts are neither served nor checked."""

    functions: dict[str, str] = field(default_factory=dict)
    connector: str | None = None
    #: Base URL of the emulator; None for a real portal, as a check would be a call.
    emulator: str | None = None
    workers: bool = False
    relay: Relay | None = None

    @classmethod
    def parse(cls, document: dict[str, Any]) -> "Config":
        """From the file's JSON."""
        relay = document.get("relay")
        return cls(
            functions={str(name): str(url) for name, url in document["functions"].items()},
            connector=document.get("connector"),
            emulator=document.get("emulator"),
            workers=bool(document.get("workers")),
            relay=Relay(Path(relay["tick"]), float(relay["every_s"])) if relay else None,
        )


class ConfigFile:
    """Reloads the file when it has changed, so that functions can be added and removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._checked_at = float("-inf")
        self._changed_at = 0
        self._config = Config()

    @property
    def current(self) -> Config:
        """The newest content; the last good one while the file is missing or broken."""
        now = time.monotonic()
        if now - self._checked_at >= _POLL_EVERY_S:
            self._checked_at = now
            self._reload()
        return self._config

    def _reload(self) -> None:
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at != self._changed_at:
                self._config = Config.parse(json.loads(self._path.read_text(encoding="utf-8")))
                self._changed_at = changed_at
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
