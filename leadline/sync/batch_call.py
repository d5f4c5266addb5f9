"""One call to Bitrix24: from leased users to settled ones."""

import time
from dataclasses import replace

import structlog

from leadline.bitrix24 import lead_answers, leads
from leadline.bitrix24.client import Answer, Batch
from leadline.bitrix24.command import Command
from leadline.bitrix24.operating_budget import Reserved
from leadline.errors import BitrixError, OutcomeUnknown, TooLate
from leadline.runtime import clock
from leadline.sync import batch_request, job_log, metrics, portal_session, replies
from leadline.sync.batch_request import Request, Step
from leadline.sync.decide import (
    LookUp,
    Write,
    applied,
    deferred,
    failed,
    found_by_id,
    looked_up,
    unclear,
)
from leadline.sync.job_spans import Spans
from leadline.workqueue.entry import Entry, Settlement
from leadline.workqueue.queue import Leased, WorkQueue

log = structlog.get_logger()

#: After an unconfirmed reply its user is due again, to answer only.
REPLY_DELAY_MS = 2000


class Call:
    """What one job does with the users it has leased."""

    def __init__(self, leased: Leased, queue: WorkQueue) -> None:
        self._leased = leased
        self._queue = queue
        self._error: BitrixError | None = None

    def run(self) -> int:
        """Send one request, write down what became of each user, reply; returns how many users.

        Raises:
            BitrixError: the request as a whole failed; all is written down.
            QueueDown: Redis can't be reached; the leases expire.
        """
        wanted = batch_request.build(self._leased.entries)
        reserved = portal_session.budget().reserve(wanted.methods)
        is_late = clock.now_s() > self._leased.send_until
        if is_late:
            log.warning("too late to call", users=len(wanted.steps))
        allowed = wanted.within({} if is_late else reserved.allowed)
        job_log.begins(allowed)
        self._spans = Spans(allowed)
        try:
            self._serve(wanted, allowed, reserved)
        finally:
            self._spans.close()
        if self._error is not None:
            raise self._error
        return len(wanted.steps)

    def _serve(self, wanted: Request, allowed: Request, reserved: Reserved) -> None:
        began = time.monotonic()
        batch = self._send(allowed.commands)
        portal_session.budget().record(reserved, batch.timings, time.monotonic() - began)
        settlements = [
            self._settlement(step, batch.answers)
            if allowed.serves(step)
            else deferred(step.entry, reserved.wait_ms)
            for step in wanted.steps
        ]
        self._finish(settlements)

    def _send(self, commands: dict[str, Command]) -> Batch:
        if not commands:
            portal_session.token_bucket().give_back()
            return Batch({}, {})
        metrics.BATCH.observe(len(commands))
        began = time.monotonic()
        try:
            with self._spans.request(len(commands)):
                batch = portal_session.session().call(commands, send_until=self._leased.send_until)
        except TooLate as error:
            log.warning("too late to call", users=len(self._leased.entries))
            portal_session.token_bucket().give_back()
            return Batch(dict.fromkeys(commands, error), {})
        except BitrixError as error:
            metrics.REQUESTS.inc(type(error).__name__)
            self._error = error
            portal_session.react(error)
            return Batch(dict.fromkeys(commands, error), {})
        finally:
            metrics.DURATION.observe(time.monotonic() - began)
        metrics.REQUESTS.inc("ok")
        return batch

    def _settlement(self, step: Step, answers: dict[str, Answer]) -> Settlement:
        entry = step.entry
        try:
            found = [_result(answers[key]) for key in step.keys]
            if isinstance(step.plan, Write):
                agreed = lead_answers.written(found[0], step.plan.command, _state(entry))
                settled = applied(entry, agreed, is_create=step.plan.is_create)
                return settled.noted(self._leased.now_ms)
            if isinstance(step.plan, LookUp):
                looked = self._looked_up(entry, *map(lead_answers.page, found))
                return looked.noted(self._leased.now_ms)
        except BitrixError as error:
            if self._error is None and not isinstance(error, TooLate):
                portal_session.react(error)
            was_written = isinstance(step.plan, Write)
            settled = failed(entry, error, self._leased.now_ms, was_written=was_written)
            return replace(settled, error=error).noted(self._leased.now_ms, error.detail)
        return applied(entry, None)

    def _looked_up(
        self, entry: Entry, by_origin: lead_answers.Page, by_id: lead_answers.Page | None = None
    ) -> Settlement:
        now_ms = self._leased.now_ms
        ours = [lead for lead in by_origin.leads if lead.origin == str(entry.user_id)]
        if ours:
            if len(ours) > 1:
                metrics.DOUBLED.inc()
                log.error("leads doubled", user_id=entry.user_id, leads=len(ours))
            known = (lead for lead in ours if lead.lead_id == entry.known_id)
            return looked_up(entry, next(known, ours[0]), now_ms)
        named_leads = by_id.leads if by_id else []
        named = next((lead for lead in named_leads if lead.lead_id == entry.known_id), None)
        if not by_origin.is_whole or (by_id and not named and not by_id.is_whole):
            if entry.is_alone:
                raise OutcomeUnknown("the look-up can't be read")
            return unclear(entry)
        return found_by_id(entry, named, now_ms)

    def _finish(self, settlements: list[Settlement]) -> None:
        """Write down, reply, release: a crash after any of them loses and doubles nothing."""
        kept = self._queue.write_down(settlements)
        ours = [one for one, is_kept in zip(settlements, kept, strict=True) if is_kept]
        if len(ours) < len(settlements):
            log.warning("leases lost", users=len(settlements) - len(ours))
        answered = [
            (one.entry, self._spans.within(one.entry, event))
            for one in ours
            for event in one.events
            if event.answered
        ]
        confirmed = {
            (entry.user_id, event.event_id)
            for (entry, event), is_sent in zip(answered, replies.send(answered), strict=True)
            if is_sent
        }
        self._queue.release([_released(one, confirmed) for one in ours])
        for one in ours:
            job_log.ends(one)
            self._spans.end(one)


def _result(answer: Answer) -> Answer:
    if isinstance(answer, BitrixError):
        raise answer
    return answer


def _state(entry: Entry) -> leads.State:
    if entry.state is None:
        raise OutcomeUnknown("an entry without a state was written")
    return entry.state


def _released(one: Settlement, confirmed: set[tuple[int, str]]) -> Settlement:
    """Forget what was replied; what was not stays, to be replied later."""
    answered = [event for event in one.events if event.answered]
    sent = [event for event in answered if (one.entry.user_id, event.event_id) in confirmed]
    delay_ms = one.delay_ms if len(sent) == len(answered) else max(one.delay_ms, REPLY_DELAY_MS)
    return replace(one, fields={}, events=tuple(sent), delay_ms=delay_ms)
