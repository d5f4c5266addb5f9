"""Checkpoints: the progress of a long command in a small file, deleted when it has finished."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from leadline.cli.local_system import state_folder
from leadline.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The progress of one command, in a file."""

    path: Path

    @classmethod
    def locate(cls, name: str, path: Path | None) -> "Checkpoint":
        """The checkpoint at this path, else in the state folder, else in the current folder."""
        if path is not None:
            return cls(path)
        folder = state_folder()
        return cls((folder if folder.is_dir() else Path()) / f"leadline-{name}.json")

    def read(self) -> dict[str, Any] | None:
        """The stored progress; None if the last run finished.

        Raises:
            InvalidRequest: the file is no checkpoint.
        """
        try:
            stored = orjson.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError):
            stored = None
        if not isinstance(stored, dict):
            raise InvalidRequest(f"{self.path} can't be read: remove it, or name another file")
        return stored

    def store(self, value: dict[str, Any]) -> None:
        """Store the progress, atomically.

        Raises:
            InvalidRequest: it can't be written.
        """
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            draft.write_bytes(orjson.dumps(value))
            draft.replace(self.path)
        except OSError:
            raise InvalidRequest(f"{self.path} can't be written: name another file") from None

    def delete(self) -> None:
        """Delete the file: the command has finished, or starts over."""
        self.path.unlink(missing_ok=True)
