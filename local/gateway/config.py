"""Where the functions and the other parts are: a JSON file that may change while we run."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Relay:
    """The schedule's sign of life: a file touched after every tick."""

    tick: Path
    every_s: float


@dataclass(frozen=True)
class Config:
    """What the file says; a part that is missing is neither served nor checked."""

    functions: dict[str, str] = field(default_factory=dict)
    connector: str | None = None
    #: Base URL of the emulator; a real portal is not listed, as a check would be a call.
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
    """Reads the file again when it changed, so that functions may come and go."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = float("-inf")
        self._changed_at = 0
        self._config = Config()

    @property
    def current(self) -> Config:
        """The newest content; the last good one while the file is missing or broken."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._look()
        return self._config

    def _look(self) -> None:
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at != self._changed_at:
                self._config = Config.parse(json.loads(self._path.read_text(encoding="utf-8")))
                self._changed_at = changed_at
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
