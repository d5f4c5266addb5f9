"""The requests of faas-cli, recorded by a proxy from a build of commit c8191b71.

Only the address and the password are the test's own. `deploy` sends what `faas-cli deploy` makes of
a function in stack.yml.
"""

import json
from collections.abc import Mapping
from typing import Any

import requests

from tests.servers import eventually
from tests.system import System

#: One function of `faas-cli deploy -f stack.yml`, byte by byte except for what is filled in.
DEPLOYMENT = (
    '{"service":"%(name)s","image":"ghcr.io/leadline/%(name)s:0.1.0",'
    '"envProcess":"python -m leadline.runtime.serving.serve function","envVars":%(env)s,'
    '"secrets":%(secrets)s,'
    '"labels":{"com.openfaas.scale.max":"3","com.openfaas.scale.min":"1"},"annotations":%(annotations)s,'
    '"limits":{"memory":"128Mi","cpu":"1000m"},"requests":{"memory":"64Mi","cpu":"50m"},'
    '"readOnlyRootFilesystem":true}'
)


class FaasCli:
    """A faas-cli that is logged in to the gateway at this address."""

    def __init__(self, url: str, password: str) -> None:
        self._url = url
        self._auth = ("admin", password)

    @classmethod
    def of(cls, system: System) -> "FaasCli":
        """A faas-cli that is logged in to this local system."""
        password = (system.state.root / "passwords" / "gateway").read_text(encoding="ascii")
        return cls(system.url("edge"), password)

    def ask(self, path: str, *, stream: bool = False) -> requests.Response:
        """A GET, which is all that `faas-cli login` sends."""
        return self._send("GET", path, stream=stream)

    def send(self, method: str, path: str, body: str | bytes) -> requests.Response:
        """Send a request with a body."""
        headers = {"Content-Type": "application/json"}
        return self._send(method, path, data=body, headers=headers)

    def deploy(
        self,
        name: str,
        env: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = ("database-url-reader",),
        annotations: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """PUT, then POST if there is no such function, as faas-cli does by default."""
        body = DEPLOYMENT % {
            "name": name,
            "env": json.dumps(dict(env or {})),
            "secrets": json.dumps(secrets),
            "annotations": json.dumps(dict(annotations or {})),
        }
        answer = self.send("PUT", "/system/functions", body)
        return self.send("POST", "/system/functions", body) if answer.status_code == 404 else answer

    def remove(self, name: str) -> requests.Response:
        """`faas-cli remove`."""
        return self.send("DELETE", "/system/functions", f'{{"functionName":"{name}"}}')

    def describe(self, name: str) -> dict[str, Any]:
        """`faas-cli describe`."""
        answer = self.ask(f"/system/function/{name}?usage=1")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def names(self) -> set[str]:
        """`faas-cli list -q`."""
        return {function["name"] for function in self.ask("/system/functions").json()}

    def await_ready(self, name: str) -> None:
        """`faas-cli ready`."""
        eventually(
            lambda: self.describe(name)["availableReplicas"] == 1, 120, f"{name} is ready again"
        )

    def put_secret(self, method: str, name: str, value: str) -> int:
        """`faas-cli secret create` (POST) and `update` (PUT); the status."""
        return self.send(
            method, "/system/secrets", json.dumps({"name": name, "value": value})
        ).status_code

    def remove_secret(self, name: str) -> int:
        """`faas-cli secret remove`; the status."""
        return self.send("DELETE", "/system/secrets", f'{{"name":"{name}"}}').status_code

    def secrets(self) -> list[dict[str, str]]:
        """`faas-cli secret list`."""
        return list(self.ask("/system/secrets").json())

    def invoke(self, name: str, query: str = "", key: str = "", method: str = "GET") -> int:
        """`faas-cli invoke`, which names the namespace and sends no password: the status."""
        headers = {"Content-Type": "text/plain"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        path = f"/function/{name}.openfaas-fn{query}"
        return requests.request(
            method, f"{self._url}{path}", headers=headers, timeout=60
        ).status_code

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"User-Agent": "faas-cli/dev", **options.pop("headers", {})}
        return requests.request(
            method, f"{self._url}{path}", headers=headers, auth=self._auth, timeout=60, **options
        )
