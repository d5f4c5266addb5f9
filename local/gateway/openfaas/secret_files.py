"""The store of the run's secrets, one file each (write-only), and the request models for them."""

import base64
import binascii
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from local.gateway.openfaas.deployment import Model, SecretName
from local.runner.state import write


class NamedSecret(Model):
    """The secret that a request names."""

    name: SecretName
    namespace: str = ""


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(str(text or ""), validate=True)
    except binascii.Error as error:
        raise ValueError("must be base64") from error


class NewSecret(NamedSecret):
    """A secret with its value; `raw_value` is used if `value` is empty, as in the API."""

    value: str = ""
    raw_value: Annotated[bytes, BeforeValidator(_decoded)] = b""

    @property
    def content(self) -> bytes:
        """The content of its file."""
        return self.value.encode() or self.raw_value


class SecretFiles:
    """The secrets in a folder."""

    def __init__(self, folder: Path, mode: int) -> None:
        self._folder = folder
        self._mode = mode

    def names(self) -> list[str]:
        """The names of all secrets, sorted."""
        return sorted(path.name for path in self._folder.glob("[!.]*") if path.is_file())

    def exists(self, name: str) -> bool:
        """Whether there is a secret of this name."""
        return (self._folder / name).is_file()

    def put(self, name: str, content: bytes) -> None:
        """Create or replace it, atomically."""
        write(self._folder / name, content, self._mode)

    def remove(self, name: str) -> None:
        """Delete the file."""
        (self._folder / name).unlink(missing_ok=True)
