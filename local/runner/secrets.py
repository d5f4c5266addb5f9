"""The run's secrets as files, as the platforms mount them; the edge's OpenFaaS API adds others."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from local.runner.state import State, write

_KEYS = "api-keys"
_INTERNAL = "internal-key"
#: The holder of a key that is made up, and what it opens: all that a person may do.
OWNER = "owner:read,write,operate"


def mounted(state: State, addresses: Mapping[str, str]) -> Path:
    """The folder of this run's secrets: one given by LEADLINE_SECRETS_DIR as it is, else our own.

    Ours holds the addresses of the servers, written anew at each start; `api-keys`: those of
    API_KEYS, or one made up at the first start; and `internal-key`, made up likewise.
    """
    if given := os.environ.get("LEADLINE_SECRETS_DIR"):
        return Path(given).resolve()
    folder = state.folder("secrets")
    for variable, address in addresses.items():
        write(folder / variable.replace("_", "-").lower(), address)
    if keys := os.environ.get("API_KEYS"):
        write(folder / _KEYS, keys)
    elif not (folder / _KEYS).exists():
        write(folder / _KEYS, f"{OWNER}:{secrets.token_urlsafe(24)}")
    if not (folder / _INTERNAL).exists():
        write(folder / _INTERNAL, secrets.token_urlsafe(32))
    return folder


def is_key_made() -> bool:
    """Whether callers' keys are made up here, as nobody has given any."""
    return not any(os.environ.get(name) for name in ("API_KEYS", "LEADLINE_SECRETS_DIR"))


def key_to_show(state: State) -> str | None:
    """The key that was made up here, the first time that this is called; afterwards None."""
    shown = state.root / "key-was-shown"
    if not is_key_made() or shown.exists():
        return None
    shown.touch(0o600)
    return (state.folder("secrets") / _KEYS).read_text(encoding="utf-8").strip().split(":")[-1]
