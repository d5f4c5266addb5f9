"""RabbitMQ as a model: queues, acknowledgements, confirms, delay queues; and its clients.

The connector's threads and connections are modelled here; its handling of a message (CloudEvent
attributes, attempts, delay queue or dead letters) is our real code.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import pika

from leadline.connector import envelope
from leadline.connector.message import ReceivedMessage, Verdict, attempt_of
from leadline.errors import BadMessage
from leadline.messages import topology
from leadline.messages.attributes import NO_ID, TRACEPARENT
from leadline.messages.cloudevents import Delivery
from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.telemetry import trace_context
from tests.simulation.world import Mailbox, Process, Signal, World

#: The connector's batch size: half of the prefetch of 64.
BATCH = 32
#: How long a publisher waits for its confirms, and the connector for a function's answer.
CONFIRM_S = 5.0
ANSWER_S = 50.0

Post = Callable[[str, list[Delivery]], Verdict]


@dataclass(eq=False)
class StoredMessage:
    """A message in a queue."""

    body: bytes
    properties: pika.BasicProperties
    redelivered: bool = False


class ConnectionLost(Exception):
    """The connection to the broker has ended."""


class Broker:
    """The broker: all queues."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.queues: dict[str, list[StoredMessage]] = {
            queue.name: [] for queue in topology.all_queues()
        }
        self.is_away = False
        #: Incremented each time all connections break.
        self.breaks = 0
        #: By queue: fires when a message enters it, and when the broker goes, returns or forgets.
        self.arrived: dict[str, Signal] = {}
        self._delays = {
            topology.delay_name(queue, step): (queue, step)
            for queue in (topology.REQUESTS, topology.REPLIES)
            for step in topology.RETRY_STEPS_S
        }
        #: All messages published so far, without the copies in delay queues and dead letters.
        self.published: list[tuple[float, str, StoredMessage]] = []
        #: How many of the next confirms get lost.
        self.lose_confirms = 0
        self.on_lost_confirm: Callable[[], None] = lambda: None

    def signal(self, queue: str) -> Signal:
        """The signal of this queue in `arrived`."""
        return self.arrived.setdefault(queue, Signal(self._world))

    def put(self, queue: str, stored: StoredMessage, *, at_front: bool = False) -> None:
        """Put a message into this queue."""
        waiting = self.queues.setdefault(queue, [])
        if at_front:
            waiting.insert(0, stored)
        else:
            waiting.append(stored)
        if queue in self._delays:
            main_queue, step_s = self._delays[queue]
            self._world.after(step_s, partial(self._end_delay, queue, main_queue, stored))
        self.signal(queue).fire()

    def _end_delay(self, queue: str, main_queue: str, stored: StoredMessage) -> None:
        if stored in self.queues[queue]:
            self.queues[queue].remove(stored)
            self.put(main_queue, stored)

    def publish(self, process: Process, queue: str, stored: StoredMessage) -> bool:
        """Publish a message, in one step; returns whether the broker has confirmed it."""
        breaks = self.breaks
        self._world.moment(f"publish {queue} asked")
        self._world.wait(process.random.uniform(0.001, 0.004))
        if self.is_away or breaks != self.breaks:
            return False
        self.put(queue, stored)
        if process.kind != "connector":
            self.published.append((self._world.now, queue, stored))
        is_confirmed = self.lose_confirms == 0
        if not is_confirmed:
            self.lose_confirms -= 1
            self.on_lost_confirm()
        self._world.moment(f"publish {queue} done")
        self._world.wait(process.random.uniform(0.001, 0.004))
        return is_confirmed and breaks == self.breaks

    # --- faults

    def go_away(self, seconds: float) -> None:
        """Make the broker unreachable for a while; unacknowledged messages are redelivered."""
        self.is_away = True
        self.breaks += 1
        for signal in self.arrived.values():
            signal.fire()
        self._world.after(seconds, self._come_back)

    def _come_back(self) -> None:
        self.is_away = False
        for signal in self.arrived.values():
            signal.fire()

    def forget(self) -> int:
        """Lose all queues; returns the number of lost messages."""
        lost = sum(map(len, self.queues.values()))
        for waiting in self.queues.values():
            waiting.clear()
        self.breaks += 1
        for signal in self.arrived.values():
            signal.fire()
        return lost

    def shuffle(self, process: Process) -> None:
        """Reorder the messages, by the randomness of this process."""
        for waiting in self.queues.values():
            process.random.shuffle(waiting)


class SimPublisher:
    """Replaces our publisher in one process."""

    def __init__(self, world: World, broker: Broker, process: Process) -> None:
        self._world = world
        self._broker = broker
        self._process = process

    def publish(self, messages: list[Message], *, timeout_s: float = CONFIRM_S) -> list[bool]:
        """Publish all and wait; for each whether the broker confirmed it."""
        confirmed = [self._publish(message) for message in messages]
        if not all(confirmed):
            self._world.wait(timeout_s)
        return confirmed

    def offer(self, message: Message, done: Callable[[bool], None]) -> None:
        """Publish in a later step."""
        self._world.spawn(self._process, lambda: done(self._publish(message)))

    def _publish(self, message: Message) -> bool:
        stored = StoredMessage(message.body, message.properties())
        return self._broker.publish(self._process, message.queue, stored)

    def close(self) -> None:
        """There is nothing to close."""


@dataclass
class Channel:
    """A consumer's state at its queue: unacknowledged deliveries."""

    world: World
    broker: Broker
    process: Process
    queue: str
    #: The broker's `breaks` when this connection began; -1 once it has ended.
    breaks: int = 0
    unsettled: dict[int, StoredMessage] = field(default_factory=dict)
    next_tag: int = 1

    def __post_init__(self) -> None:
        self.breaks = self.broker.breaks
        self.process.on_death.append(self.drop)

    def take(self, at_most: int) -> list[ReceivedMessage]:
        """The next messages; waits for the first.

        Raises:
            ConnectionLost: the connection has ended.
        """
        while True:
            self.require_open()
            waiting = self.broker.queues[self.queue]
            if waiting and not self.broker.is_away:
                delivered, waiting[:] = waiting[:at_most], waiting[at_most:]
                return [self._received(stored) for stored in delivered]
            self.broker.signal(self.queue).wait()

    def _received(self, stored: StoredMessage) -> ReceivedMessage:
        tag, self.next_tag = self.next_tag, self.next_tag + 1
        self.unsettled[tag] = stored
        attempt = attempt_of(stored.properties, is_redelivered=stored.redelivered)
        channel: Any = self
        return ReceivedMessage(
            channel, tag, self.queue, copy(stored.properties), stored.body, attempt
        )

    def require_open(self) -> None:
        """Require that the connection is still open.

        Raises:
            ConnectionLost: it has ended.
        """
        if self.breaks != self.broker.breaks:
            self.drop()
            raise ConnectionLost

    def acknowledge(self, tag: int) -> None:
        """Delete this delivery."""
        self.world.moment(f"ack {self.queue} asked")
        self.world.wait(self.process.random.uniform(0.0005, 0.002))
        self.require_open()
        self.unsettled.pop(tag, None)
        self.world.moment(f"ack {self.queue} done")

    def basic_publish(
        self, _exchange: str, queue: str, body: bytes, properties: Any, *, mandatory: bool
    ) -> None:
        """Publish as pika does, with confirms."""
        self.require_open()
        stored = StoredMessage(body, copy(properties))
        # Without `mandatory` an unroutable message would count as published.
        if not self.broker.publish(self.process, queue, stored) or not mandatory:
            self.drop()
            raise ConnectionLost

    def drop(self) -> None:
        """End the connection: unacknowledged messages will be redelivered."""
        self.breaks = -1
        if self.drop in self.process.on_death:
            self.process.on_death.remove(self.drop)
        for _, stored in sorted(self.unsettled.items(), reverse=True):
            stored.redelivered = True
            self.broker.put(self.queue, stored, at_front=True)
        self.unsettled.clear()


class Connector:
    """Consumes one queue and posts its messages to a handler."""

    def __init__(self, world: World, broker: Broker, queue: str, post: Post) -> None:
        self._world = world
        self._broker = broker
        self._queue = queue
        self._post = post

    def run(self) -> None:
        """Consume; reconnect after a lost connection."""
        world = self._world
        while True:
            while self._broker.is_away:
                world.wait(0.5)
            channel = Channel(world, self._broker, world.process, self._queue)
            try:
                while True:
                    batch = channel.take(BATCH)
                    world.spawn(world.process, partial(self._deliver, channel, batch))
            except ConnectionLost:
                world.wait(0.2)

    def _deliver(self, channel: Channel, batch: list[ReceivedMessage]) -> None:
        try:
            for message in self._deliver_batch(channel, batch):
                self._deliver_one(channel, message)
        except ConnectionLost:
            pass

    def _deliver_batch(
        self, channel: Channel, batch: list[ReceivedMessage]
    ) -> list[ReceivedMessage]:
        """Deliver as a batch; returns the messages to deliver one by one."""
        fit = [message for message in batch if envelope.cloud_event(message) is not None]
        if len(fit) < 2:
            return batch
        unusual = [message for message in batch if message not in fit]
        verdict = self._post(self._queue, [delivery_of(message) for message in fit])
        if verdict.is_served:
            for message in fit:
                channel.acknowledge(message.tag)
            return unusual
        return unusual + (
            fit if verdict.is_final else [message.with_unknown_outcome() for message in fit]
        )

    def _deliver_one(self, channel: Channel, message: ReceivedMessage) -> None:
        try:
            delivery = delivery_of(message)
        except BadMessage as error:
            verdict = Verdict(is_served=False, is_final=True, reason=str(error))
        else:
            verdict = self._post(self._queue, [delivery])
        if not verdict.is_served:
            channel.require_open()
            copied = message.copy(verdict)
            channel.basic_publish(
                "", copied.queue, copied.body, copied.properties(), mandatory=True
            )
            message.log_moved(verdict)
        channel.acknowledge(message.tag)


def delivery_of(message: ReceivedMessage) -> Delivery:
    """The message as a function gets it by HTTP.

    Raises:
        BadMessage: it is not JSON.
    """
    attributes = envelope._attributes(message)
    headers = message.properties.headers or {}
    try:
        body = orjson.loads(message.body)
    except orjson.JSONDecodeError:
        raise BadMessage("the message is not valid JSON") from None
    message_id = attributes.get("id")
    trace = trace_context.trace_from_headers(
        message.properties.correlation_id, headers.get(TRACEPARENT)
    )
    return Delivery(body, None if message_id == NO_ID else message_id, attributes, trace)


class Handlers:
    """The processes of a function: any of them that is alive gets the request."""

    def __init__(self, world: World, serve: Callable[[list[Delivery]], Verdict]) -> None:
        self._world = world
        self._serve = serve
        self.processes: list[Process] = []

    def post(self, _queue: str, deliveries: list[Delivery]) -> Verdict:
        """A request and its answer, if there is one."""
        world, caller = self._world, self._world.process
        alive = [process for process in self.processes if not process.is_dead]
        if not alive:
            world.wait(0.05)
            return Verdict(is_served=False, reason="no answer: refused")
        handler = caller.random.choice(alive)
        world.wait(caller.random.uniform(0.0005, 0.003))
        answer = Mailbox(world)
        hang_up = partial(answer.put, Verdict(is_served=False, reason="no answer: reset"))
        handler.on_death.append(hang_up)

        def serve() -> None:
            verdict = self._serve(deliveries)
            world.wait(handler.random.uniform(0.0005, 0.003))
            answer.put(verdict)

        world.spawn(handler, serve)
        verdict: Verdict | None = answer.take(ANSWER_S)
        if hang_up in handler.on_death:
            handler.on_death.remove(hang_up)
        return verdict or Verdict(is_served=False, reason="no answer: timeout")


def dead_letters(broker: Broker) -> Sequence[tuple[str, StoredMessage]]:
    """The dead letters with their original queues."""
    return [
        (queue, stored)
        for queue in (topology.REQUESTS, topology.REPLIES)
        for stored in broker.queues[topology.dead_letter_name(queue)]
    ]
