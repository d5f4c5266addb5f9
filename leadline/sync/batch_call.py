"""One call to Bitrix24: from leased users to their settlements."""

import time
from dataclasses import replace

from leadline.bitrix24 import call_log
from leadline.bitrix24.client import BatchResponse
from leadline.bitrix24.command import Command
from leadline.bitrix24.operating_budget import Reservation
from leadline.errors import BitrixError, LeaseTooShort, Rejected
from leadline.runtime import clock
from leadline.settings import settings
from leadline.sync import batch_request, interpret, portal_session, replies
from leadline.sync.batch_request import BatchRequest, Step
from leadline.sync.decide import AHEAD_MS, Find, Plan, Read, defer, plan
from leadline.sync.duplicates import claims
from leadline.sync.duplicates import rules as duplicates
from leadline.sync.erasure import rules as erasure
from leadline.sync.fields import last_check, refusals
from leadline.sync.fields.last_check import NO_CHECK, FieldCheck
from leadline.sync.job_observer import JobObserver
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.queue import LeasedBatch, WorkQueue

#: Delay after an unconfirmed reply; then the user is due, only for a retry of the reply.
REPLY_DELAY_MS = 2000


class BatchCall:
    """The call of one job for the users it has leased."""

    def __init__(self, leased: LeasedBatch, queue: WorkQueue) -> None:
        self._leased = leased
        self._queue = queue
        self._observer = JobObserver(len(leased.entries))
        #: Why the request as a whole failed, if it did; and how long it took.
        self._error: BitrixError | None = None
        self._request_ms = 0
        self._field_check = NO_CHECK
        #: Settlements of users whose claimed lead another user may have.
        self._denied: list[Settlement] = []

    def run(self) -> int:
        """Claim leads, send one request, settle each user, reply; returns the number of users.

        Raises:
            BitrixError: the request as a whole failed; the settlements are saved.
            QueueDown: Redis can't be reached; the leases expire.
        """
        request, self._denied = claims.claim(
            batch_request.build(self._leased.entries, _plan, imports=self._may_import()),
            self._queue,
        )
        reserved = portal_session.operating_budget().reserve(request.methods)
        is_late = clock.now_s() > self._leased.send_until
        if is_late:
            self._observer.too_late()
        allowed = request.limited_to({} if is_late else reserved.allowed)
        self._observer.started(allowed)
        try:
            self._call_and_settle(request, allowed, reserved)
        finally:
            self._observer.ended()
        if self._error is not None:
            raise self._error
        return len(request.steps) + len(self._denied)

    def _call_and_settle(
        self, request: BatchRequest, allowed: BatchRequest, reserved: Reservation
    ) -> None:
        started_at = time.monotonic()
        batch = self._send(allowed.commands)
        took_s = time.monotonic() - started_at
        portal_session.operating_budget().record(reserved, batch.timings, took_s)
        self._request_ms = int(took_s * 1000)
        self._field_check = _field_check_if_refused(allowed, batch)
        settlements = [
            self._settle(step, batch, allowed.commands)
            if allowed.covers(step)
            else defer(step.entry, reserved.wait_ms)
            for step in request.steps
        ]
        self._finish([*settlements, *self._denied])

    def _send(self, commands: dict[str, Command]) -> BatchResponse:
        if not commands:
            portal_session.token_bucket().give_back()
            return BatchResponse({}, {})
        try:
            with self._observer.request(len(commands)):
                return portal_session.portal_client().call(
                    commands, send_until=self._leased.send_until
                )
        except LeaseTooShort as error:
            portal_session.token_bucket().give_back()
            return BatchResponse(dict.fromkeys(commands, error), {})
        except BitrixError as error:
            self._error = error
            portal_session.react(error)
            return BatchResponse(dict.fromkeys(commands, error), {})

    def _may_import(self) -> bool:
        has_quiet_users = any(entry.is_quiet for entry in self._leased.entries)
        return has_quiet_users and not portal_session.quiet_import().is_refused()

    def _settle(self, step: Step, batch: BatchResponse, commands: dict[str, Command]) -> Settlement:
        if step.is_import and isinstance(batch.results[step.keys[0]], Rejected):
            # The next call creates the lead by a command of its own.
            if portal_session.quiet_import().record_refusal():
                self._observer.imports_refused(batch.results[step.keys[0]])
            return Settlement(step.entry, delay_ms=AHEAD_MS)
        settlement = interpret.settle(step, batch.results, self._leased.now_ms, self._field_check)
        if settlement.refused_fields:
            self._observer.fields_refused(settlement.refused_fields, batch.results[step.keys[0]])
        settlement = settlement.with_calls(self._calls(step, batch, commands))
        error = settlement.error
        # An error of the whole request was handled when it was caught.
        if error is not None and self._error is None and not isinstance(error, LeaseTooShort):
            portal_session.react(error)
        return settlement

    def _calls(
        self, step: Step, batch: BatchResponse, commands: dict[str, Command]
    ) -> list[object]:
        """The commands for this user with their answers, for operators."""
        entry = step.entry
        error = self._error
        # The commands of a search, and imports, hold other persons' data.
        is_shared = isinstance(step.plan, Find | Read) or step.is_import
        if entry.erased or is_shared or not step.keys or not settings().keep_calls_s:
            return []
        status = error.http_status if error else batch.http_status
        request = {"at_ms": self._leased.now_ms, "ms": self._request_ms, "status": status}
        return [
            call_log.to_json(commands[key], result, entry.user_id, entry.known_lead_id, request)
            for key in step.keys
            if not isinstance(result := batch.results[key], LeaseTooShort)
        ]

    def _finish(self, settlements: list[Settlement]) -> None:
        """Save, reply, release: a crash between these steps loses and duplicates nothing."""
        saved = self._queue.save(settlements)
        owned = [
            settlement for settlement, is_owned in zip(settlements, saved, strict=True) if is_owned
        ]
        if len(owned) < len(settlements):
            self._observer.leases_lost(len(settlements) - len(owned))
        to_reply = [
            (settlement.entry, self._observer.with_span(settlement.entry, event))
            for settlement in owned
            for event in settlement.events
            if event.outcome
        ]
        confirmed = {
            (entry.user_id, event.event_id)
            for (entry, event), is_sent in zip(to_reply, replies.send(to_reply), strict=True)
            if is_sent
        }
        self._queue.release([_for_release(settlement, confirmed) for settlement in owned])
        for settlement in owned:
            self._observer.settled(settlement)


def _field_check_if_refused(request: BatchRequest, batch: BatchResponse) -> FieldCheck:
    """The last check of the field map if a field may be the reason of a refused write.

    Also requests another check then.
    """
    is_needed = any(
        refusals.may_concern(step.entry, step.plan, batch.results.get(key))
        for step in request.steps
        for key in step.keys
    )
    return last_check.request_and_read() if is_needed else NO_CHECK


def _plan(entry: Entry) -> Plan:
    """Decide what the call does for a user, erased or not."""
    return erasure.plan(entry) if entry.erased else duplicates.plan(entry, plan(entry))


def _for_release(settlement: Settlement, confirmed: set[tuple[int, str]]) -> Settlement:
    """The settlement that releases a user; it deletes only events whose reply is confirmed.

    The other replies are sent again at the user's next call.
    """
    user_id = settlement.entry.user_id
    delay_ms = settlement.delay_ms
    to_reply = [event for event in settlement.events if event.outcome]
    replied = [event for event in to_reply if (user_id, event.event_id) in confirmed]
    if len(replied) < len(to_reply):
        delay_ms = max(delay_ms, REPLY_DELAY_MS)
    return replace(settlement, fields={}, events=tuple(replied), logged=(), delay_ms=delay_ms)
