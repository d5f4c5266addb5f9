"""Requires TLS for connections to other machines: they carry passwords, keys and personal data.

`LEADLINE_CLEARTEXT` names peers that are exempt, such as those in a network that is secured by
other means.
"""

import ipaddress
from urllib.parse import SplitResult, parse_qsl, urlsplit

from leadline.errors import BadConfiguration
from leadline.runtime import secrets
from leadline.runtime.hosts import each_host
from leadline.settings import Peer, settings

#: libpq's modes that never fall back to no TLS
#: (https://www.postgresql.org/docs/current/libpq-ssl.html).
TLS_MODES = frozenset({"require", "verify-ca", "verify-full"})
_ENCRYPTED = frozenset({"amqps", "rediss", "rediss+sentinel", "https"})
#: The secrets that hold a URL.
_SECRETS: dict[str, Peer] = {
    "database-url": "postgres",
    "amqp-url": "rabbitmq",
    "redis-url": "redis",
    "bitrix-webhook-url": "bitrix24",
}
#: How to configure TLS for each peer.
_REMEDIES: dict[Peer, str] = {
    "postgres": "DATABASE_URL: add ?sslmode=verify-full",
    "rabbitmq": "AMQP_URL: use amqps://",
    "redis": "REDIS_URL: use rediss://",
    "bitrix24": "BITRIX_WEBHOOK_URL: use https://",
    "functions": "the function's URL: use https://",
    "otlp": "OTEL_EXPORTER_OTLP_ENDPOINT: use https://",
}


def require_tls(peer: Peer, url: str) -> None:
    """Require TLS for a URL with a host on another machine, unless the settings exempt this peer.

    Raises:
        BadConfiguration: the URL does not use TLS, or is invalid; the text does not quote it.
    """
    try:
        nodes = [urlsplit(node) for node in each_host(url.strip())]
        is_safe = all(_is_encrypted(node) or is_loopback(node) for node in nodes)
    except ValueError:  # its text would quote the URL
        setting, _, _ = _REMEDIES[peer].partition(":")
        raise BadConfiguration(f"{setting} is not a URL") from None
    if not is_safe and peer not in settings().cleartext:
        raise BadConfiguration(
            f"{peer} on another machine would be reached without TLS. {_REMEDIES[peer]}, "
            f"or name it in LEADLINE_CLEARTEXT"
        )


def require_tls_for_secrets() -> None:
    """Require TLS for every URL among this process's secrets, before it accepts requests.

    Raises:
        BadConfiguration: as `require_tls`.
    """
    for name, peer in _SECRETS.items():
        url = secrets.get(name)
        if url is not None:
            require_tls(peer, url)


def _is_encrypted(parts: SplitResult) -> bool:
    if parts.scheme in {"postgresql", "postgres"}:
        return dict(parse_qsl(parts.query)).get("sslmode") in TLS_MODES
    return parts.scheme in _ENCRYPTED


def is_loopback(parts: SplitResult) -> bool:
    """Whether the host is this machine by its name alone: DNS answers may change."""
    host = parts.hostname or ""
    if parts.scheme == "unix" or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
