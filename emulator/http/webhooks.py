"""The emulator's incoming webhooks; their codes are public, since they protect nothing."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Webhook:
    """An incoming webhook: its secret code, the portal whose limits it shares, and its user."""

    code: str
    portal: str
    user: int = 1


WEBHOOKS = {
    error.code: error
    for error in (
        Webhook("local-webhook-code", "standard"),
        Webhook("second-webhook-code", "standard"),
        Webhook("enterprise-webhook-code", "enterprise"),
        Webhook("manager-webhook-code", "standard", user=2),
    )
}


def is_emulators(url: str) -> bool:
    """Whether this is the webhook of an emulator on this machine: one of its codes, on loopback."""
    parts = urlsplit(url)
    code = parts.path.rstrip("/").rpartition("/")[2]
    return code in WEBHOOKS and _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
