"""The state folder of one system: data, passwords, logs, run.json."""

import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.runner.processes.program import CHECKOUT

#: A socket's path has at most 107 bytes (unix(7)); this leaves room for the names we add.
_LONGEST_FOLDER = 85
#: RabbitMQ's scripts split a path at any other character.
_PLAIN = re.compile(r"[\w/.+-]+", re.ASCII)


class State:
    """Paths inside the state folder, and the small files that outlive a run."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.logs = self.root / "logs"
        self.run_file = self.root / "run.json"
        self.environment_file = self.root / "environment.json"
        self.lock_file = self.root / "lock"
        self._ports_file = self.root / "ports.json"

    @classmethod
    def default(cls) -> "State":
        """LEADLINE_STATE, or else `.local` in the checkout."""
        return cls(Path(os.environ.get("LEADLINE_STATE") or CHECKOUT / ".local"))

    def create(self) -> None:
        """Create the folders; other users may traverse to their own folder, but list nothing.

        Also makes files private that an earlier version left readable by others.
        """
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.logs.mkdir(mode=0o700, exist_ok=True)
        self.logs.chmod(0o700)
        for path in self.root.iterdir():
            if path.is_file() and not path.is_symlink():
                path.chmod(0o600)

    def was_used(self) -> bool:
        """Whether a system ever ran here."""
        return self._ports_file.is_file()

    def folder(self, name: str) -> Path:
        """A folder inside, created if it does not exist."""
        path = self.root / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def alias(self) -> Path:
        """A path of the folder in plain characters, short enough for a socket: its own or a link.

        Raises:
            PermissionError: another user owns the folder of the link.
        """
        text = str(self.root)
        if len(text) <= _LONGEST_FOLDER and _PLAIN.fullmatch(text):
            return self.root
        digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"leadline-{os.getuid()}-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise PermissionError(folder)
        link = folder / "state"
        if not link.is_symlink():
            link.symlink_to(self.root)
        return link

    def password(self, name: str) -> str:
        """The password of a private server, generated at first use."""
        path = self.folder("passwords") / name
        # An empty password counts as missing: it would let in clients without one.
        if not path.exists() or not path.read_text(encoding="ascii").strip():
            write(path, secrets.token_hex(16))
        return path.read_text(encoding="ascii")

    def ports(self) -> dict[str, int]:
        """The ports of the last run, so that a restart keeps them."""
        try:
            return dict(json.loads(self._ports_file.read_text(encoding="utf-8")))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def save_ports(self, ports: Mapping[str, int]) -> None:
        """Store the ports for the next run."""
        write_json(self._ports_file, ports)


def write(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Replace a file atomically; readable by its owner only, unless `mode` says otherwise."""
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
    draft.replace(path)


def write_json(path: Path, value: Any) -> None:
    """`write` as indented JSON."""
    write(path, json.dumps(value, indent=2) + "\n")
