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
    webhook.code: webhook
    for webhook in (
        Webhook("local-webhook-code", "standard"),
        Webhook("second-webhook-code", "standard"),
        Webhook("enterprise-webhook-code", "enterprise"),
        Webhook("manager-webhook-code", "standard", user=2),
    )
}


def is_emulator_webhook(url: str) -> bool:
    """Whether the URL has a loopback host and one of the codes above."""
    parts = urlsplit(url)
    code = parts.path.rstrip("/").rpartition("/")[2]
    return code in WEBHOOKS and _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
