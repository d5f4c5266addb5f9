"""A small file that says how far a long command has come; it is gone when the command is done."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from leadline.cli.local_system import folder_of_state
from leadline.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a command was, kept in a file."""

    path: Path

    @classmethod
    def of(cls, name: str, given: Path | None) -> "Bookmark":
        """In the file given, else in the state folder where there is one, else right here."""
        if given is not None:
            return cls(given)
        folder = folder_of_state()
        return cls((folder if folder.is_dir() else Path()) / f"leadline-{name}.json")

    def read(self) -> dict[str, Any] | None:
        """What was kept; None where the last run came to its end.

        Raises:
            InvalidRequest: the file is none of ours.
        """
        try:
            kept = orjson.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError):
            kept = None
        if not isinstance(kept, dict):
            raise InvalidRequest(f"{self.path} can't be read: remove it, or name another file")
        return kept

    def keep(self, value: dict[str, Any]) -> None:
        """Replace it at once.

        Raises:
            InvalidRequest: it can't be written.
        """
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            draft.write_bytes(orjson.dumps(value))
            draft.replace(self.path)
        except OSError:
            raise InvalidRequest(f"{self.path} can't be written: name another file") from None

    def forget(self) -> None:
        """The command is done."""
        self.path.unlink(missing_ok=True)
