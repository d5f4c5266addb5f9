"""Nothing leaves this machine in clear: passwords, keys and names go by TLS or over loopback.

`LEADLINE_CLEARTEXT` names the parts that may be reached without TLS all the same, such as those in
a network that is closed by other means.
"""

import ipaddress
from urllib.parse import SplitResult, parse_qsl, urlsplit

from leadline.errors import BadConfiguration
from leadline.runtime import secrets
from leadline.settings import Part, settings

#: libpq's modes that never fall back to no TLS
#: (https://www.postgresql.org/docs/current/libpq-ssl.html).
TLS_MODES = frozenset({"require", "verify-ca", "verify-full"})
_ENCRYPTED = frozenset({"amqps", "rediss", "https"})
#: The secrets that hold an address.
_SECRETS: dict[str, Part] = {
    "database-url": "postgres",
    "amqp-url": "rabbitmq",
    "redis-url": "redis",
    "bitrix-webhook-url": "bitrix24",
}
#: How each address is to ask for TLS.
_REMEDIES: dict[Part, str] = {
    "postgres": "DATABASE_URL: add ?sslmode=verify-full",
    "rabbitmq": "AMQP_URL: use amqps://",
    "redis": "REDIS_URL: use rediss://",
    "bitrix24": "BITRIX_WEBHOOK_URL: use https://",
    "functions": "the function's URL: use https://",
    "otlp": "OTEL_EXPORTER_OTLP_ENDPOINT: use https://",
}


def refuse(part: Part, url: str) -> None:
    """Refuse an address that would be reached in clear, on another machine, and unasked.

    Raises:
        BadConfiguration: so it is, or the address is no URL; the text does not quote it.
    """
    try:
        parts = urlsplit(url.strip())
        is_safe = _is_encrypted(parts) or _is_here(parts)
    except ValueError:  # its text quotes the URL
        raise BadConfiguration(f"{_REMEDIES[part].partition(':')[0]} is no URL") from None
    if not is_safe and part not in settings().cleartext:
        raise BadConfiguration(
            f"{part} would be reached in clear, beyond this machine. {_REMEDIES[part]}, "
            f"or name it in LEADLINE_CLEARTEXT"
        )


def refuse_configured() -> None:
    """Refuse the addresses that this process was given as secrets, before it serves anybody.

    Raises:
        BadConfiguration: as `refuse`.
    """
    for name, part in _SECRETS.items():
        url = secrets.read(name)
        if url is not None:
            refuse(part, url)


def _is_encrypted(parts: SplitResult) -> bool:
    if parts.scheme in {"postgresql", "postgres"}:
        return dict(parse_qsl(parts.query)).get("sslmode") in TLS_MODES
    return parts.scheme in _ENCRYPTED


def _is_here(parts: SplitResult) -> bool:
    """Whether it is this machine by its very name: what a name server says may change."""
    host = parts.hostname or ""
    if parts.scheme == "unix" or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
