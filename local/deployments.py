"""What the edge's OpenFaaS API deployed or removed: a file for each function, kept across runs.

The edge writes it; a function reads its own when it starts. A function without a file runs as
`make run` starts it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local.runner.state import write_json


@dataclass(frozen=True)
class Record:
    """What was last done to one function."""

    #: FunctionDeployment of the OpenFaaS API; None: the function was removed.
    deployment: dict[str, Any] | None
    #: ISO 8601, UTC.
    created_at: str


class Deployments:
    """The records of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Record | None:
        """The record of this function, None where the API never touched it."""
        try:
            text = self._path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return Record(**json.loads(text))

    def is_removed(self, name: str) -> bool:
        """Whether the API took this function away."""
        record = self.find(name)
        return record is not None and record.deployment is None

    def keep(self, name: str, record: Record) -> None:
        """Write the record, for this run and the next."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(self._path(name), asdict(record))

    def environment(self, name: str, secrets: Path) -> dict[str, str]:
        """What a deployed function gets on top of what all processes have; {} for any other.

        `secrets` is the folder of all secrets; the function sees those that it names, as on
        OpenFaaS, through links, so that a rotated one counts at once.
        """
        record = self.find(name)
        if record is None or record.deployment is None:
            return {}
        mounted = self._folder / f"{name}.secrets"
        mounted.mkdir(mode=0o700, exist_ok=True)
        for link in mounted.iterdir():
            link.unlink()
        for secret in record.deployment["secrets"]:
            (mounted / secret).symlink_to(secrets / secret)
        return {**record.deployment["envVars"], "LEADLINE_SECRETS_DIR": str(mounted)}

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
