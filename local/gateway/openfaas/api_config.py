"""The API's configuration: LEADLINE_GATEWAY, a JSON object in the environment."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from local.gateway.openfaas.platform import Platform


@dataclass(frozen=True)
class ApiConfig:
    """Files and folders of one run, and the platform of its functions."""

    platform: Platform
    #: Records of what was deployed.
    deployments: Path
    secrets: Path
    #: File mode of secrets.
    secrets_mode: int
    #: File with the password of the user admin; generated if missing.
    password: Path

    @classmethod
    def read(cls) -> "ApiConfig | None":
        """From the environment; None if this run has no API."""
        text = os.environ.get("LEADLINE_GATEWAY")
        if not text:
            return None
        document = json.loads(text)
        deployments = Path(document["deployments"])
        return cls(
            _platform(document["platform"], deployments),
            deployments,
            Path(document["secrets"]),
            int(document.get("secrets_mode", "600"), 8),
            Path(document["password"]),
        )


def _platform(document: dict[str, str], deployments: Path) -> Platform:
    # Inline: each platform imports packages that the other does not need.
    if "project" in document:
        from local.gateway.openfaas.containers import Containers  # noqa: PLC0415

        return Containers(document["project"], deployments)
    from local.gateway.openfaas.supervised import SupervisedPrograms  # noqa: PLC0415

    return SupervisedPrograms(Path(document["supervisor"]), Path(document["logs"]))
