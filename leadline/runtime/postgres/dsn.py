"""Parses a database URL into pg8000's connect options."""

import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from leadline.errors import BadConfiguration
from leadline.runtime import cleartext
from leadline.runtime.postgres.connection import TlsSocket


@lru_cache(maxsize=4)
def connect_options(url: str) -> Mapping[str, Any]:
    """The options of this URL; `sslmode` and `sslrootcert` configure TLS as in libpq.

    Raises:
        BadConfiguration: the URL is invalid or lacks TLS; the text does not quote it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:  # its text would quote the URL
        parts, port = urlsplit(""), 0
    if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname:
        raise BadConfiguration(
            "DATABASE_URL must look like postgresql://user:password@host:5432/db"
        )
    cleartext.require_tls("postgres", url)
    return {
        "host": parts.hostname,
        "port": port,
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password) if parts.password else None,
        "database": unquote(parts.path.lstrip("/")) or "postgres",
        "ssl_context": _ssl_context(dict(parse_qsl(parts.query))),
    }


def _ssl_context(query: dict[str, str]) -> ssl.SSLContext | bool:
    """https://www.postgresql.org/docs/current/libpq-ssl.html; `require` accepts any certificate.

    Called once per URL, since creating a context takes 30 ms.
    """
    mode, roots = query.get("sslmode", "disable"), query.get("sslrootcert", "system")
    if mode == "disable":
        return False
    if mode not in cleartext.TLS_MODES:
        raise BadConfiguration("sslmode must be disable, require, verify-ca or verify-full")
    try:
        context = ssl.create_default_context(cafile=None if roots == "system" else roots)
    except OSError:  # ssl.SSLError is one too
        raise BadConfiguration("sslrootcert must be a readable file of certificates") from None
    context.sslsocket_class = TlsSocket
    context.check_hostname = mode == "verify-full"
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context
