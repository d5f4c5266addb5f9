"""Records of functions that the edge's OpenFaaS API deployed or removed, kept across runs.

The edge writes them; a function reads its own when it starts. A function without a record runs with
the defaults of `make run`.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local.runner.state import write_json


@dataclass(frozen=True)
class Record:
    """The last deployment or removal of one function."""

    #: FunctionDeployment of the OpenFaaS API; None: the function was removed.
    deployment: dict[str, Any] | None
    #: ISO 8601, UTC.
    created_at: str


class Deployments:
    """The records in a folder, one file for each function."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Record | None:
        """The record of this function, None if the API never deployed or removed it."""
        try:
            text = self._path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return Record(**json.loads(text))

    def is_removed(self, name: str) -> bool:
        """Whether the API removed this function."""
        record = self.find(name)
        return record is not None and record.deployment is None

    def save(self, name: str, record: Record) -> None:
        """Store the record, for this run and the next."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(self._path(name), asdict(record))

    def prepare_environment(self, name: str, secrets: Path) -> dict[str, str]:
        """Link a deployed function's secrets, and return its variables; {} if it was not deployed.

        `secrets` is the folder of all secrets. The function sees only those that it names, as on
        OpenFaaS. They are links, so that a rotated secret takes effect at once.
        """
        record = self.find(name)
        if record is None or record.deployment is None:
            return {}
        folder = self._folder / f"{name}.secrets"
        folder.mkdir(mode=0o700, exist_ok=True)
        for link in folder.iterdir():
            link.unlink()
        for secret in record.deployment["secrets"]:
            (folder / secret).symlink_to(secrets / secret)
        return {**record.deployment["envVars"], "LEADLINE_SECRETS_DIR": str(folder)}

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
