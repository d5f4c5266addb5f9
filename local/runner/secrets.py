"""The run's secrets as files, as platforms mount them; the edge's OpenFaaS API adds others."""

import os
import secrets
from pathlib import Path

from local.logins.table import INTERNAL, KEYS, LOGINS, PARTS, URL_SECRETS, Login, by_name
from local.runner.servers.selection import Servers
from local.runner.state import State, write

#: The holder of the generated key, and its scopes: everything a person may do.
KEY_OWNER = "owner:read,write,operate"
_DEFAULT_LOGIN = "public"


def write_files(state: State, servers: Servers) -> Path:
    """Write this run's secrets; returns their folder. Leaves LEADLINE_SECRETS_DIR unchanged.

    Our own folder has the servers' URLs, a file for each login, rewritten at each start;
    `api-keys`: those of API_KEYS, or one generated at the first start; and `internal-key`,
    generated likewise.
    """
    if configured := _configured_folder():
        return configured
    folder = state.folder("secrets")
    for login in LOGINS:
        for secret, address in servers.secrets_of(login).items():
            write(folder / _name(secret, login), address)
    write(folder / "database-url-owner", servers.owner_database_url)
    for secret in URL_SECRETS:  # an earlier version had one login for all
        (folder / secret).unlink(missing_ok=True)
    if keys := os.environ.get("API_KEYS"):
        write(folder / KEYS, keys)
    elif not (folder / KEYS).exists():
        write(folder / KEYS, f"{KEY_OWNER}:{secrets.token_urlsafe(24)}")
    if not (folder / INTERNAL).exists():
        write(folder / INTERNAL, secrets.token_urlsafe(32))
    return folder


def is_key_generated() -> bool:
    """Whether the API key is generated here, since none is configured."""
    return not any(os.environ.get(name) for name in ("API_KEYS", "LEADLINE_SECRETS_DIR"))


def claim_key_to_show(state: State) -> str | None:
    """The generated key at the first call, which marks it as shown; None afterwards."""
    marker = state.root / "key-was-shown"
    if not is_key_generated() or marker.exists():
        return None
    marker.touch(0o600)
    return (state.folder("secrets") / KEYS).read_text(encoding="utf-8").strip().split(":")[-1]


def access(part: str, servers: Servers) -> dict[str, str]:
    """The variables by which a function or process finds the secrets of its login.

    With LEADLINE_SECRETS_DIR they are the URLs themselves, which that folder may lack. A function
    that the table of logins does not list yet reaches no server.
    """
    login = by_name(PARTS.get(part, _DEFAULT_LOGIN))
    addresses = servers.secrets_of(login)
    if _configured_folder():
        return {_variable(secret): address for secret, address in addresses.items()}
    return {f"{_variable(secret)}_FILE": _name(secret, login) for secret in addresses}


def owner_access(servers: Servers) -> dict[str, str]:
    """As `access`, for the migrations."""
    if _configured_folder():
        return {"DATABASE_URL": servers.owner_database_url}
    return {"DATABASE_URL_FILE": "database-url-owner"}


def cli_access(servers: Servers) -> dict[str, str]:
    """The URLs for the command line, by variable."""
    addresses = servers.secrets_of(by_name(PARTS["cli"]))
    return {_variable(secret): address for secret, address in addresses.items()}


def _configured_folder() -> Path | None:
    folder = os.environ.get("LEADLINE_SECRETS_DIR")
    return Path(folder).resolve() if folder else None


def _name(secret: str, login: Login) -> str:
    return login.secret(secret) if secret in URL_SECRETS else secret


def _variable(secret: str) -> str:
    return secret.replace("-", "_").upper()
