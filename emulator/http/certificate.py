"""A certificate made at startup, for clients that support only https."""

import os
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

_VALID_DAYS = "30"
_OPENSSL_TIMEOUT_S = 30


class NoCertificate(OSError):
    """The certificate could not be made."""


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate, which clients must be configured to trust, and its key."""

    cert: Path
    key: Path

    def tls_context(self) -> ssl.SSLContext:
        """A server's TLS context; raises OSError if the files are not a certificate and its key."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, self.key)
        return context


def make_certificate(folder: Path, hosts: Sequence[str]) -> Certificate:
    """A new certificate for these hosts in a folder, by the command `openssl`.

    Raises NoCertificate if there is no such command or it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    certificate = Certificate(folder / "bitrix24-cert.pem", folder / "bitrix24-key.pem")
    certificate.key.unlink(missing_ok=True)
    # openssl writes into this file; one that it created itself could be read by others at first.
    os.close(os.open(certificate.key, os.O_CREAT | os.O_WRONLY, 0o600))
    names = ",".join(f"{_name_kind(host)}:{host}" for host in dict.fromkeys(hosts))
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-nodes", "-days", _VALID_DAYS, "-subj", "/CN=Bitrix24 emulator"),
        *("-addext", f"subjectAltName={names}"),
        *("-keyout", str(certificate.key), "-out", str(certificate.cert)),
    ]
    try:
        result = subprocess.run(  # noqa: S603 (no shell; hosts come from the command line)
            command, capture_output=True, text=True, timeout=_OPENSSL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCertificate(f"--tls needs the command openssl: {error}") from None
    if result.returncode:
        raise NoCertificate(f"openssl made no certificate: {result.stderr.strip()[-300:]}")
    return certificate


def _name_kind(host: str) -> str:
    """What a certificate calls such a name: IP or DNS."""
    try:
        ip_address(host)
    except ValueError:
        return "DNS"
    return "IP"
