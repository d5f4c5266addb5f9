"""The validated URL of a portal's incoming webhook; its path is a credential."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from leadline.errors import BadConfiguration
from leadline.runtime import cleartext

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._:%-]+")
#: `/rest/USER_ID/WEBHOOK_CODE`, with any number of slashes between and after.
_PATH = re.compile(r"/+([!-.0-~]+)/+([!-.0-~]+)/+([!-.0-~]+)/*")


@dataclass(frozen=True, slots=True)
class Webhook:
    """The parts of a webhook's URL."""

    is_https: bool
    #: In ASCII, as in DNS and certificates.
    host: str
    port: int
    #: The prefix of a method's name; ends with a slash.
    path: SecretStr

    @classmethod
    def parse(cls, url: str) -> "Webhook":
        """Parse a URL.

        Raises:
            BadConfiguration: not a webhook's URL, or not encrypted; the text does not quote it.
        """
        try:
            parts = urlsplit(url.strip())
            # Both raise ValueError if they are invalid.
            host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        except ValueError:  # its text quotes the URL
            parts, host, port = urlsplit(""), "", None
        path = _PATH.fullmatch(parts.path)
        is_host = _HOST.fullmatch(host) and "@" not in parts.netloc
        if parts.scheme not in _PORTS or not is_host or path is None:
            raise BadConfiguration(
                "BITRIX_WEBHOOK_URL must look like https://your-domain.bitrix24.com/rest/USER_ID/WEBHOOK_CODE/"
            )
        cleartext.require_tls("bitrix24", url)
        return cls(
            is_https=parts.scheme == "https",
            host=host,
            port=_PORTS[parts.scheme] if port is None else port,
            path=SecretStr(f"/{'/'.join(path.groups())}/"),
        )

    @property
    def site(self) -> str:
        """The portal's site, without the credential: https://example.bitrix24.com."""
        return f"{'https' if self.is_https else 'http'}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them (RFC 9112, 3.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default_port = self.port == _PORTS["https" if self.is_https else "http"]
        return host if is_default_port else f"{host}:{self.port}"
