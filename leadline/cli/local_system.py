"""Connects the command line to the local run of this checkout, if nothing else is configured."""

import json
import os
from pathlib import Path

from leadline.errors import BadConfiguration
from leadline.runtime import secrets

CONNECTIONS = ("database-url", "amqp-url", "redis-url", "bitrix-webhook-url")


def use(state: Path | None) -> None:
    """Set the connections and settings of the local run in this folder.

    `state` None: the run of this checkout, if there is one and no connection is configured.

    Raises:
        BadConfiguration: `state` is given, and nothing runs there.
    """
    if state is None and any(secrets.get(name) for name in CONNECTIONS):
        return
    folder = state or state_folder()
    environment_file = folder / "environment.json"
    try:
        environment = json.loads(environment_file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        if state is not None:
            raise BadConfiguration(
                f"nothing runs in {state}: there is no {environment_file}"
            ) from None
        return
    if state is not None:
        os.environ.pop("LEADLINE_SECRETS_DIR", None)
        os.environ["LEADLINE_STATE"] = str(state)  # checkpoints are stored there, too
    os.environ.update(environment)


def state_folder() -> Path:
    """The state folder of the local run; commands store their checkpoints there, too."""
    return Path(os.environ.get("LEADLINE_STATE") or Path(__file__).parents[2] / ".local")
