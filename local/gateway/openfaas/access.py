"""Basic authentication of the API with a password file, as in the OpenFaaS gateway."""

import base64
import binascii
import hmac
import secrets
from pathlib import Path

from local.runner.state import write

USER = "admin"
CHALLENGE = 'Basic realm="Restricted"'


def ensure_password(path: Path) -> None:
    """Generate a password if the file is missing or empty."""
    if not _password(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, secrets.token_hex(16))


def is_allowed(authorization: str | None, password_file: Path) -> bool:
    """Whether this header has the user and the current password; an empty one matches nothing."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        login = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    password = _password(password_file)
    is_match = hmac.compare_digest(login, f"{USER}:{password}".encode())
    return is_match and bool(password)


def _password(path: Path) -> str:
    """The content of the file; "" if there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
