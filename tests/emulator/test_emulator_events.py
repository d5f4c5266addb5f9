"""Outgoing events of the emulator."""

import queue
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from tests.emulator.emulator_process import Emulator
from tests.servers import eventually

Event = dict[str, str]


class Receiver:
    """A handler that records the events that it receives."""

    def __init__(self) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                event = {name: values[0] for name, values in parse_qs(body).items()}
                event["type"] = self.headers["Content-Type"]
                receiver.events.put(event)
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def next(self) -> Event:
        return self.events.get(timeout=60)

    def next_names(self, count: int) -> list[tuple[str, str]]:
        """The name and the object's id of each of the next events."""
        events = [self.next() for _ in range(count)]
        return [(event["event"], event["data[FIELDS][ID]"]) for event in events]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def emulator_with_webhook(emulator: Emulator, receiver: Receiver) -> Emulator:
    emulator.set(outgoing_webhook_url=receiver.url, application_token="s3cret")  # noqa: S106 - of a test
    return emulator


def test_writes_are_reported_as_a_form_with_the_id_only(
    emulator_with_webhook: Emulator, receiver: Receiver
) -> None:
    emulator_with_webhook.add(NAME="Gleb")
    event = receiver.next()
    assert event["type"] == "application/x-www-form-urlencoded"
    assert event["event"] == "ONCRMLEADADD"
    assert event["data[FIELDS][ID]"] == "1"
    assert event["auth[application_token]"] == "s3cret"
    assert "auth[access_token]" not in event
    assert "Gleb" not in str(event)
    assert int(event["ts"]) > 0


def test_writes_by_a_client_and_by_a_person_are_reported_in_order(
    emulator_with_webhook: Emulator, receiver: Receiver
) -> None:
    """A crm.item.update that changes nothing is not reported."""
    emulator_with_webhook.add(NAME="Gleb")
    emulator_with_webhook.result("crm.lead.update", {"id": 1, "fields": {"NAME": "Gleb"}})
    same = {"entityTypeId": 1, "id": 1, "fields": {"name": "Gleb"}}
    emulator_with_webhook.result("crm.item.update", same)
    emulator_with_webhook.control("PATCH", "leads/1", {"STATUS_ID": "JUNK"})
    emulator_with_webhook.result("crm.lead.delete", {"id": 1})
    assert receiver.next_names(4) == [
        ("ONCRMLEADADD", "1"),
        ("ONCRMLEADUPDATE", "1"),
        ("ONCRMLEADUPDATE", "1"),
        ("ONCRMLEADDELETE", "1"),
    ]
    assert receiver.events.empty()


def test_an_event_is_not_sent_again_to_a_handler_that_failed(
    emulator_with_webhook: Emulator, receiver: Receiver
) -> None:
    receiver.status = 500
    emulator_with_webhook.add()
    emulator_with_webhook.add()
    assert receiver.next_names(2) == [("ONCRMLEADADD", "1"), ("ONCRMLEADADD", "2")]
    assert receiver.events.empty()


def test_the_setting_event_copies_has_events_come_more_than_once(
    emulator_with_webhook: Emulator, receiver: Receiver
) -> None:
    emulator_with_webhook.set(event_copies=3)
    emulator_with_webhook.add()
    assert receiver.next_names(3) == [("ONCRMLEADADD", "1")] * 3


def test_events_may_be_late_and_out_of_order(
    emulator_with_webhook: Emulator, receiver: Receiver
) -> None:
    """Each event is delayed by the setting, and by up to a further emulated second at random."""
    emulator_with_webhook.set(event_order="shuffled", event_delay_ms=200, rate_per_s=0)
    for _ in range(20):
        emulator_with_webhook.add()
    order = [int(lead_id) for _, lead_id in receiver.next_names(20)]
    assert sorted(order) == list(range(1, 21))
    assert order != sorted(order)


def test_handlers_are_bound_and_unbound(emulator: Emulator, receiver: Receiver) -> None:
    params = {"event": "onCrmLeadAdd", "handler": receiver.url}
    assert emulator.result("event.bind", params) is True
    assert emulator.post("event.bind", params).status_code == 400
    assert emulator.result("event.get") == [
        {"event": "ONCRMLEADADD", "handler": receiver.url, "auth_type": "0", "offline": 0}
    ]
    emulator.add()
    emulator.result("crm.lead.update", {"id": 1, "fields": {}})
    assert receiver.next_names(1) == [("ONCRMLEADADD", "1")]
    assert emulator.result("event.unbind", params) == {"count": 1}
    assert emulator.result("event.get") == []


def test_an_unknown_event_cannot_be_bound(emulator: Emulator) -> None:
    response = emulator.post("event.bind", {"event": "NOSUCH", "handler": "https://x/h"})
    assert response.status_code == 400
    assert response.json() == {
        "error": "ERROR_EVENT_NOT_FOUND",
        "error_description": "Event not found",
    }


def test_a_webhook_may_lack_the_authorization_to_bind(emulator: Emulator) -> None:
    """A setting makes the emulator refuse as a real portal does."""
    emulator.set(event_bind="wrong_auth_type")
    assert emulator.post("event.get").status_code == 403


def test_an_application_gets_tokens_and_a_webhook_none(
    emulator: Emulator, receiver: Receiver
) -> None:
    """Documentation: events/index.md."""
    emulator.set(outgoing_webhook_url=receiver.url)
    emulator.add()
    event = receiver.next()
    assert event["event_handler_id"] == "0"
    assert not {"auth[access_token]", "auth[scope]"} & event.keys()
    emulator.set(outgoing_webhook_url=None)
    params = {"event": "ONCRMLEADUPDATE", "handler": receiver.url}
    emulator.result("event.bind", params)
    emulator.result("crm.lead.update", {"id": 1, "fields": {"NAME": "x"}})
    event = receiver.next()
    assert event["auth[access_token]"]
    assert (event["auth[expires_in]"], event["auth[status]"]) == ("3600", "L")
    emulator.control("PATCH", "items/1/1", {"fields": {"NAME": "y"}, "system": True})
    event = receiver.next()
    assert "auth[access_token]" not in event
    assert event["auth[scope]"] == "crm"


def test_ts_is_when_the_event_was_sent(emulator: Emulator, receiver: Receiver) -> None:
    emulator.set(outgoing_webhook_url=receiver.url, event_delay_ms=1500)
    emulator.add()
    created = datetime.fromisoformat(emulator.get(1)["DATE_CREATE"]).timestamp()
    assert int(receiver.next()["ts"]) > created


def test_a_slow_handler_is_counted_and_still_called(emulator: Emulator, receiver: Receiver) -> None:
    """Documentation: settings/performance/index.md. Emulated time runs fast."""
    emulator.set(outgoing_webhook_url=receiver.url, slow_handler_s=0.001, speed=100)
    emulator.add()
    first = receiver.next()
    assert first["event"] == "ONCRMLEADADD"
    eventually(lambda: emulator.control("GET", "totals")["events"]["slow"], 60, "it is slow")
    assert emulator.control("GET", "totals")["events"]["slow"] == {receiver.url: 1}
    emulator.add()
    assert receiver.next()["data[FIELDS][ID]"] == "2"


def test_an_application_is_notified_when_its_queue_grows(
    emulator: Emulator, receiver: Receiver
) -> None:
    """Documentation: events/on-offline-event.md."""
    emulator.result("event.bind", {"event": "ONCRMLEADADD", "event_type": "offline"})
    options = {"minTimeout": 3600}
    bound = {"event": "ONOFFLINEEVENT", "handler": receiver.url, "options": options}
    emulator.result("event.bind", bound)
    emulator.set(speed=100_000)
    for _ in range(3):
        emulator.add()
    event = receiver.next()
    assert event["event"] == "ONOFFLINEEVENT"
    assert "data[FIELDS][ID]" not in event
    assert event["auth[access_token]"]
