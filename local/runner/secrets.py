"""The run's secrets as files, as the platforms mount them; the edge's OpenFaaS API adds others."""

import os
import secrets
from pathlib import Path

from local.logins.table import ADDRESSES, INTERNAL, KEYS, LOGINS, PARTS, Login, of
from local.runner.servers.choice import Servers
from local.runner.state import State, write

#: The holder of a key that is made up, and what it opens: all that a person may do.
KEY_OWNER = "owner:read,write,operate"


def mounted(state: State, servers: Servers) -> Path:
    """The folder of this run's secrets: one given by LEADLINE_SECRETS_DIR as it is, else our own.

    Ours holds the addresses of the servers, a file for each login, written anew at each start;
    `api-keys`: those of API_KEYS, or one made up at the first start; and `internal-key`, made up
    likewise.
    """
    if given := _given():
        return given
    folder = state.folder("secrets")
    for login in LOGINS:
        for secret, address in servers.addresses(login).items():
            write(folder / _name(secret, login), address)
    write(folder / "database-url-owner", servers.owner_database_url)
    for secret in ADDRESSES:  # of an earlier version: one login for all
        (folder / secret).unlink(missing_ok=True)
    if keys := os.environ.get("API_KEYS"):
        write(folder / KEYS, keys)
    elif not (folder / KEYS).exists():
        write(folder / KEYS, f"{KEY_OWNER}:{secrets.token_urlsafe(24)}")
    if not (folder / INTERNAL).exists():
        write(folder / INTERNAL, secrets.token_urlsafe(32))
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
    return (state.folder("secrets") / KEYS).read_text(encoding="utf-8").strip().split(":")[-1]


def access(part: str, servers: Servers) -> dict[str, str]:
    """By which variables a function or process finds the secrets of its own login.

    Where a folder was given, what is not in it counts as well: the addresses themselves.
    """
    login = of(PARTS[part])
    addresses = servers.addresses(login)
    if _given():
        return {_variable(secret): address for secret, address in addresses.items()}
    return {f"{_variable(secret)}_FILE": _name(secret, login) for secret in addresses}


def owner_access(servers: Servers) -> dict[str, str]:
    """As `access`, of the migrations."""
    if _given():
        return {"DATABASE_URL": servers.owner_database_url}
    return {"DATABASE_URL_FILE": "database-url-owner"}


def cli_access(servers: Servers) -> dict[str, str]:
    """The addresses that the command line works with, by variable."""
    found = servers.addresses(of(PARTS["cli"]))
    return {_variable(secret): address for secret, address in found.items()}


def _given() -> Path | None:
    given = os.environ.get("LEADLINE_SECRETS_DIR")
    return Path(given).resolve() if given else None


def _name(secret: str, login: Login) -> str:
    return login.secret(secret) if secret in ADDRESSES else secret


def _variable(secret: str) -> str:
    return secret.replace("-", "_").upper()
