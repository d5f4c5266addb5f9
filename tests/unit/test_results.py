"""Endpoints of results, and the signatures that receivers verify."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from leadline.errors import BadConfiguration
from leadline.results import endpoints, message
from leadline.results.message import Result
from leadline.runtime import secrets

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RESULT = Result(
    seq=7,
    kind="user.synced",
    event_id="01a20904-edc6-7729-a816-5943b5169ce7",
    user_id=42,
    version=3,
    bitrix_lead_id=456,
    reason=None,
    is_erasure=False,
    at=datetime(2026, 1, 31, 12, tzinfo=UTC),
)


def configure(monkeypatch: pytest.MonkeyPatch, text: str) -> tuple[endpoints.Endpoint, ...]:
    monkeypatch.setenv("RESULT_ENDPOINTS", text)
    return endpoints.endpoints()


def test_an_entry_names_its_url_keys_and_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    first = f"crm https://crm.example/hook {KEY}"
    second = f"bi http://127.0.0.1:9/x {KEY},{KEY} user.changed"
    crm, bi = configure(monkeypatch, f"# ours\n{first}\n{second}")
    assert (crm.name, crm.url, len(crm.keys)) == ("crm", "https://crm.example/hook", 1)
    assert crm.kinds == {"user.synced", "user.failed"}
    assert bi.kinds == {"user.changed"}
    assert len(bi.keys) == 2


@pytest.mark.parametrize(
    "entry",
    [
        "crm https://crm.example/hook",
        f"crm http://crm.example/hook {KEY}",
        f"crm https://user:pw@crm.example/hook {KEY}",
        f"crm ftp://crm.example/hook {KEY}",
        f"crm https:///hook {KEY}",
        f"crm file:///etc/passwd {KEY}",
        "crm https://crm.example/hook plain-text-secret",
        "crm https://crm.example/hook whsec_c2hvcnQ=",
        "crm https://crm.example/hook whsec_!!!",
        f"crm https://crm.example/hook {KEY} user.deleted",
        f"leadline.users https://crm.example/hook {KEY}",
        f"a https://a.example/ {KEY}\na https://b.example/ {KEY}",
    ],
)
def test_a_wrong_entry_is_refused_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    with pytest.raises(BadConfiguration) as refused:
        configure(monkeypatch, entry)
    for secret in ("example", "whsec_M", "plain-text", "pw"):
        assert secret not in str(refused.value)


def test_without_the_secret_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESULT_ENDPOINTS", raising=False)
    assert not endpoints.is_configured()
    assert endpoints.endpoints() == ()


def test_keys_and_urls_are_confidential_and_names_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, f"warehouse https://crm.example/secret-path {KEY} user.synced")
    hidden = secrets.confidential()
    assert {KEY, "https://crm.example/secret-path"} <= set(hidden)
    assert not {"warehouse", "user.synced"} & set(hidden)


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The specification signs the id, the timestamp and the body, joined by dots."""
    key = base64.b64decode(KEY.removeprefix("whsec_"))
    body = RESULT.body()
    sent = message.headers(RESULT, body, [key, os.urandom(32)], 1614265330)
    signed = f"{sent['webhook-id']}.1614265330.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    first, second = sent["webhook-signature"].split(" ")
    assert first == f"v1,{expected}"
    assert second.startswith("v1,")
    assert sent["webhook-timestamp"] == "1614265330"


def test_a_body_names_ids_and_no_person() -> None:
    assert orjson.loads(RESULT.body()) == {
        "type": "user.synced",
        "timestamp": "2026-01-31T12:00:00.000Z",
        "data": {
            "user_id": 42,
            "external_id": None,
            "version": 3,
            "status": "synced",
            "bitrix_lead_id": 456,
            "reason": None,
            "erased": False,
            "event_id": "01a20904-edc6-7729-a816-5943b5169ce7",
        },
    }
    assert RESULT.id == "user.synced:01a20904-edc6-7729-a816-5943b5169ce7"


PAGE = (Path(__file__).parents[2] / "docs/results.md").read_text("utf-8")


def snippet(language: str) -> str:
    return PAGE.partition(f"```{language}\n")[2].partition("```")[0]


def sign(now_s: int) -> tuple[dict[str, str], bytes]:
    key = base64.b64decode(KEY.removeprefix("whsec_"))
    body = RESULT.body()
    return message.headers(RESULT, body, [os.urandom(32), key], now_s), body


def test_the_pages_python_verifies_a_request() -> None:
    names: dict[str, Any] = {}
    exec(snippet("python"), names)  # noqa: S102 - our own page
    is_ours = names["is_ours"]
    headers, body = sign(int(time.time()))
    assert is_ours(KEY, headers, body)
    assert not is_ours(KEY, headers, body.replace(b"42", b"43"))
    assert not is_ours(KEY, {**headers, "webhook-id": "another"}, body)
    late, body = sign(int(time.time()) - 600)
    assert not is_ours(KEY, late, body)


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node")
def test_the_pages_javascript_verifies_a_request() -> None:
    headers, body = sign(int(time.time()))
    calls = "".join(
        f"console.log(isOurs({json.dumps(KEY)}, {json.dumps(headers)}, Buffer.from({text})));\n"
        for text in (json.dumps(body.decode()), json.dumps("{}"))
    )
    result = subprocess.run(
        ("node", "-e", snippet("js") + calls),  # noqa: S607 - found on the PATH
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert result.stdout.split() == ["true", "false"]
