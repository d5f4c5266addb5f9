"""Where nothing is configured, the command line works with the local run of this checkout."""

import json
import os
from pathlib import Path

from leadline.errors import BadConfiguration
from leadline.runtime import secrets

CONNECTIONS = ("database-url", "amqp-url", "redis-url", "bitrix-webhook-url")


def use(state: Path | None) -> None:
    """Take the connections and settings of the run in this folder, or in the usual one.

    Raises:
        BadConfiguration: a folder was named, and nothing runs there.
    """
    if state is None and any(secrets.get(name) for name in CONNECTIONS):
        return
    folder = state or folder_of_state()
    written = folder / "environment.json"
    try:
        environment = json.loads(written.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        if state is not None:
            raise BadConfiguration(f"nothing runs in {state}: there is no {written}") from None
        return
    if state is not None:
        os.environ.pop("LEADLINE_SECRETS_DIR", None)
        os.environ["LEADLINE_STATE"] = str(state)  # bookmarks are kept there too
    os.environ.update(environment)


def folder_of_state() -> Path:
    """The state folder of a local run, and where the command line keeps what it has done."""
    return Path(os.environ.get("LEADLINE_STATE") or Path(__file__).parents[2] / ".local")
