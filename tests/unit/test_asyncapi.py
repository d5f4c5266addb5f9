"""The AsyncAPI document is up to date, and describes the messages that are read and sent."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import orjson
import pytest

from leadline.api import asyncapi
from leadline.errors import BadMessage
from leadline.messages import contract, topology

COMMITTED = Path(__file__).parents[2] / "docs/asyncapi.json"
DOCUMENT = asyncapi.build()
USER = {"id": 1, "full_name": "Иван", "phone": "+77001112233", "stage": "NEW"}
REQUEST = {"action": "create_card", "user": USER, "replyQueue": topology.REPLIES}
REPLY = {"status": "error", "reason": "No", "action": "move_card", "user_id": 1, "attempts": 3}


def is_described(name: str, body: object) -> bool:
    """Whether the document allows such a message."""
    payload = DOCUMENT["components"]["messages"][name]["payload"]
    schema = {**payload, "components": DOCUMENT["components"]}
    return bool(jsonschema.Draft202012Validator(schema).is_valid(body))


def is_read(name: str, body: object) -> bool:
    read = contract.read_request if name == "request" else contract.read_reply
    try:
        read(body)
    except BadMessage:
        return False
    return True


def test_the_committed_document_is_the_generated_one() -> None:
    hint = "run: .venv/bin/python -m leadline.api.asyncapi > docs/asyncapi.json"
    assert COMMITTED.read_text("utf-8") == asyncapi.text(), hint


def test_each_reference_resolves() -> None:
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', asyncapi.text()))
    assert references
    for reference in references:
        target: Any = DOCUMENT
        for part in reference.split("/"):
            target = target[part]


def test_the_channels_are_the_queues() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert addresses == {topology.REQUESTS, topology.REPLIES}


def test_the_examples_are_valid() -> None:
    for name, message in DOCUMENT["components"]["messages"].items():
        for example in message["examples"]:
            assert is_described(name, example["payload"])
            assert is_read(name, example["payload"])


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("request", {"pattern": "user_created", "data": REQUEST}),
        ("request", REQUEST),
        ("request", {"pattern": "user_created", "data": {**REQUEST, "new_field": 1}}),
        ("request", {**REQUEST, "user": {"id": 1, "full_name": "А"}}),
        ("reply", REPLY),
        ("reply", {"pattern": "bitrix.responses", "data": REPLY}),
    ],
)
def test_a_message_that_the_document_allows_is_read(name: str, body: object) -> None:
    assert is_described(name, body)
    assert is_read(name, body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("request", {}),
        ("request", []),
        ("request", None),
        ("request", {"pattern": "user_created"}),
        ("request", {**REQUEST, "action": "delete_card"}),
        ("request", {**REQUEST, "user": {**USER, "id": 0}}),
        ("request", {**REQUEST, "user": {"id": 1, "phone": "+77001112233"}}),
        ("request", {**REQUEST, "version": "first"}),
        ("reply", {**REPLY, "status": "perhaps"}),
        ("reply", {name: value for name, value in REPLY.items() if name != "user_id"}),
        ("reply", {**REPLY, "attempts": -1}),
    ],
)
def test_a_message_that_the_document_forbids_is_rejected(name: str, body: object) -> None:
    assert not is_described(name, body)
    assert not is_read(name, body)


def test_a_message_that_we_send_is_described() -> None:
    event_fields = {
        "event_id": str(UUID(int=7)),
        "version": 1,
        "occurred_at": contract.timestamp(datetime.now(UTC)),
    }
    for action in contract.PATTERNS:
        sent = contract.request_body(
            action, {**USER, "bitrix_lead_id": None}, topology.REPLIES, dict(event_fields)
        )
        assert is_described("request", orjson.loads(sent))
