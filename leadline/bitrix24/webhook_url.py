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
class WebhookUrl:
    """The parts of a webhook's URL."""

    scheme: str
    #: In ASCII, as in DNS and certificates.
    host: str
    port: int
    #: What precedes a method's name in the URL; ends with a slash.
    path: SecretStr

    @classmethod
    def parse(cls, url: str) -> "WebhookUrl":
        """Parse a URL.

        Raises:
            BadConfiguration: not a webhook's URL, or not encrypted; the text does not quote it.
        """
        try:
            parts = urlsplit(url.strip())
            # An invalid host or port raises ValueError, whose text quotes the URL.
            host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        except ValueError:
            parts, host, port = urlsplit(""), "", None  # rejected below
        path = _PATH.fullmatch(parts.path)
        is_host = _HOST.fullmatch(host) and "@" not in parts.netloc
        if parts.scheme not in _PORTS or not is_host or path is None:
            raise BadConfiguration(
                "BITRIX_WEBHOOK_URL must look like https://your-domain.bitrix24.com/rest/USER_ID/WEBHOOK_CODE/"
            )
        cleartext.require_tls("bitrix24", url)
        return cls(
            scheme=parts.scheme,
            host=host,
            port=_PORTS[parts.scheme] if port is None else port,
            path=SecretStr(f"/{'/'.join(path.groups())}/"),
        )

    @property
    def site(self) -> str:
        """The portal's site, without the credential: https://example.bitrix24.com."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them (RFC 9112, 3.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default_port = self.port == _PORTS[self.scheme]
        return host if is_default_port else f"{host}:{self.port}"
