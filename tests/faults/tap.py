"""Records each message that our processes publish, on its way to the broker."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pika.frame
import pika.spec

from leadline.messages import topology
from tests.checker.history import Publication, Reply


@dataclass
class PublishedMessages:
    """All messages published to the two queues, in order."""

    requests: list[Publication] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    def clear(self) -> None:
        """Begin a new round."""
        self.requests.clear()
        self.replies.clear()

    def tap(self) -> Callable[[bytes], None]:
        """A tap for one connection."""
        return _Frames(self).feed

    def record(self, queue: str, properties: Any, body: bytes) -> None:
        """Record a message that was sent to the broker completely."""
        if queue == topology.REQUESTS:
            self.requests.append(Publication(str(properties.message_id), time.time()))
        elif queue == topology.REPLIES:
            self.replies.append(_reply(properties, body))


def _reply(properties: Any, body: bytes) -> Reply:
    content = orjson.loads(body)
    headers = properties.headers or {}
    return Reply(
        event_id=str(content.get("event_id")),
        user=int(content["user_id"]),
        status=content["status"],
        outcome=str(headers.get("ce-outcome")),
        attempts=int(content["attempts"]),
        at=time.time(),
        reason=content.get("reason"),
        is_transient=headers.get("ce-passing") == "true",
        version=content.get("version"),
    )


@dataclass
class _Message:
    queue: str
    properties: Any = None
    size: int = 0
    body: bytes = b""


class _Frames:
    """The frames of one AMQP connection, from its first byte."""

    def __init__(self, published: PublishedMessages) -> None:
        self._published = published
        self._bytes = b""
        #: Messages whose content is still arriving, by channel.
        self._open: dict[int, _Message] = {}

    def feed(self, data: bytes) -> None:
        """Process more bytes."""
        self._bytes += data
        while True:
            consumed, frame = pika.frame.decode_frame(self._bytes)
            if frame is None:
                return
            self._bytes = self._bytes[consumed:]
            self._read(frame)

    def _read(self, frame: Any) -> None:
        channel = getattr(frame, "channel_number", 0)
        if isinstance(frame, pika.frame.Method):
            if isinstance(frame.method, pika.spec.Basic.Publish):
                self._open[channel] = _Message(frame.method.routing_key)
            return
        message = self._open.get(channel)
        if message is None:
            return
        if isinstance(frame, pika.frame.Header):
            message.properties, message.size = frame.properties, frame.body_size
        elif isinstance(frame, pika.frame.Body):
            message.body += frame.fragment
        if len(message.body) >= message.size:
            del self._open[channel]
            self._published.record(message.queue, message.properties, message.body)
