"""The run's secrets as files, as the platforms mount them; the edge's OpenFaaS API adds others."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from local.runner.state import State, write

_KEYS = "api-keys"


def mounted(state: State, addresses: Mapping[str, str]) -> Path:
    """The folder of this run's secrets: one given by LEADLINE_SECRETS_DIR as it is, else our own.

    Ours holds the addresses of the servers, written anew at each start, and `api-keys`: those of
    API_KEYS, or one made up at the first start.
    """
    if given := os.environ.get("LEADLINE_SECRETS_DIR"):
        return Path(given).resolve()
    folder = state.folder("secrets")
    for variable, address in addresses.items():
        write(folder / variable.replace("_", "-").lower(), address)
    if keys := os.environ.get("API_KEYS"):
        write(folder / _KEYS, keys)
    elif not (folder / _KEYS).exists():
        write(folder / _KEYS, secrets.token_urlsafe(24))
    return folder
