"""Where the API finds what it works with; a part of the edge's configuration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Gateway:
    """Files and folders of one run."""

    #: supervisord's socket.
    supervisor: Path
    deployments: Path
    secrets: Path
    logs: Path
    #: Holds the password of the user admin.
    password: Path

    @classmethod
    def parse(cls, document: dict[str, Any]) -> "Gateway":
        """From the file's JSON."""
        return cls(
            *(
                Path(document[name])
                for name in ("supervisor", "deployments", "secrets", "logs", "password")
            )
        )
