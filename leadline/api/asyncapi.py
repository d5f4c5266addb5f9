"""The messages, request and reply, as an AsyncAPI 3.0 document, generated from their models.

https://www.asyncapi.com/docs/reference/specification/v3.0.0. `python -m leadline.api.asyncapi`
prints it; docs/asyncapi.json is its output.
"""

import sys
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import leadline
from leadline.messages import topology
from leadline.messages.attributes import (
    CHANGED,
    HISTORY,
    ORIGINATOR,
    OUTCOME,
    PASSING,
    RESENT,
    SENT,
    STAGE_VERSION,
    TAKEN_LEAD,
)
from leadline.messages.contract import Reply, Request

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
#: CloudEvents attributes (https://github.com/cloudevents/spec) as AMQP headers; optional.
_COMMON_HEADERS: Json = {
    "ce-specversion": {"const": "1.0"},
    "ce-id": {**_TEXT, "description": "The event's id."},
    "ce-type": _TEXT,
    "ce-source": _TEXT,
    "traceparent": {**_TEXT, "description": "W3C Trace Context."},
}
_HISTORY: Json = {
    **_TEXT,
    "description": "The history of Postgres that the version belongs to, in unix ms.",
}
_REQUEST_HEADERS: Json = {
    "ce-time": {**_TEXT, "format": "date-time"},
    f"ce-{CHANGED}": {**_TEXT, "description": "The fields given by the client, comma-separated."},
    f"ce-{HISTORY}": _HISTORY,
    f"ce-{ORIGINATOR}": {**_TEXT, "description": "The ORIGINATOR_ID of our leads."},
    f"ce-{STAGE_VERSION}": {**_TEXT, "description": "The version that last set the stage."},
    f"ce-{SENT}": {**_TEXT, "description": "When the sender had no newer open event, in unix ms."},
    f"ce-{RESENT}": {
        "const": "true",
        "description": "An earlier message of this event may have been processed.",
    },
}
_REPLY_HEADERS: Json = {
    f"ce-{HISTORY}": _HISTORY,
    f"ce-{OUTCOME}": {"enum": ["synced", "superseded", "failed", "held"]},
    f"ce-{TAKEN_LEAD}": {**_TEXT, "description": "The chosen lead, which belongs to another user."},
    f"ce-{PASSING}": {"const": "true", "description": "It will be retried; another reply follows."},
}
_EXAMPLE_USER = {"id": 123, "full_name": "Иван Иванов", "phone": "+77001112233", "stage": "NEW"}
_EXAMPLE_EVENT = {"event_id": "01a20904-edc6-7729-a816-5943b5169ce7", "version": 1}
_EXAMPLES: dict[str, Json] = {
    "request": {
        "pattern": "user_created",
        "data": {
            "action": "create_card",
            "user": {**_EXAMPLE_USER, "bitrix_lead_id": None},
            "replyQueue": topology.REPLIES,
            **_EXAMPLE_EVENT,
            "occurred_at": "2026-01-31T12:00:00.000Z",
        },
    },
    "reply": {
        "status": "success",
        "action": "create_card",
        "user": _EXAMPLE_USER,
        "user_id": 123,
        "bitrix_lead_id": 456,
        "attempts": 1,
        **_EXAMPLE_EVENT,
    },
}


def build() -> Json:
    """The document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Leadline",
            "version": leadline.__version__,
            "description": "Requests to sync users to Bitrix24, and their replies. Unknown fields "
            "are ignored; messages may be duplicated, late and out of order.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "requests": _channel(topology.REQUESTS, "request"),
            "replies": _channel(topology.REPLIES, "reply"),
        },
        "operations": {
            "receiveRequest": {
                "action": "receive",
                "channel": _reference("channels/requests"),
                "summary": "Make the user's lead match this state.",
                "reply": {"channel": _reference("channels/replies")},
            },
            "receiveReply": {
                "action": "receive",
                "channel": _reference("channels/replies"),
                "summary": "Record the outcome of an event in the ledger.",
            },
        },
        "components": {
            "messages": {
                "request": _message(
                    "request", _bare_or_enveloped(Request, bare_first=False), _REQUEST_HEADERS
                ),
                "reply": _message(
                    "reply", _bare_or_enveloped(Reply, bare_first=True), _REPLY_HEADERS
                ),
            },
            "schemas": _schemas(),
        },
    }


def text() -> str:
    """The document as docs/asyncapi.json stores it."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(build(), option=options).decode()


def _channel(queue: str, message: str) -> Json:
    return {
        "address": queue,
        "messages": {message: _reference(f"components/messages/{message}")},
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {"name": queue, "durable": True, "exclusive": False, "autoDelete": False},
            }
        },
    }


def _message(name: str, payload: Json, headers: Json) -> Json:
    return {
        "name": name,
        "contentType": "application/json",
        "correlationId": {"location": "$message.header#/correlation_id"},
        "headers": {"type": "object", "properties": {**_COMMON_HEADERS, **headers}},
        "payload": payload,
        "bindings": {"amqp": {"contentEncoding": "utf-8", "messageType": name}},
        "examples": [{"name": name, "payload": _EXAMPLES[name]}],
    }


def _bare_or_enveloped(model: type[BaseModel], *, bare_first: bool) -> Json:
    """The model bare, or in the NestJS envelope: the form that we send by default comes first."""
    content = _reference(f"components/schemas/{model.__name__}")
    enveloped: Json = {
        "type": "object",
        "required": ["pattern", "data"],
        "properties": {"pattern": _TEXT, "data": content},
    }
    bare: Json = {"allOf": [content, {"not": {"required": ["pattern"]}}]}
    return {"oneOf": [bare, enveloped] if bare_first else [enveloped, bare]}


def _schemas() -> Json:
    _, definitions = models_json_schema(
        [(Request, "validation"), (Reply, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    schemas: Json = definitions["$defs"]
    return schemas


def _reference(path: str) -> Json:
    return {"$ref": f"#/{path}"}


if __name__ == "__main__":
    sys.stdout.write(text())
