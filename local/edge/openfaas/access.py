"""Basic authentication of the API, with the password of a file, as the OpenFaaS gateway has it."""

import base64
import binascii
import hmac
import secrets
from pathlib import Path

from local.runner.state import write

USER = "admin"
CHALLENGE = 'Basic realm="Restricted"'


def make_password(path: Path) -> None:
    """Make one up where there is none."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, secrets.token_hex(16))


def is_allowed(authorization: str | None, password_file: Path) -> bool:
    """Whether this header has the user and the password that the file holds now."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        sent = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    known = f"{USER}:{password_file.read_text(encoding='utf-8').strip()}"
    return hmac.compare_digest(sent, known.encode())
