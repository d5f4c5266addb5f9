"""Interprets the portal's answers: from the results of a step's commands to its settlement."""

from dataclasses import replace

from leadline.bitrix24 import lead_parsing, leads
from leadline.bitrix24.client import CommandResult
from leadline.bitrix24.lead_parsing import LookupPage
from leadline.errors import BitrixError, OutcomeUnknown
from leadline.sync.batch_request import Step
from leadline.sync.decide import (
    Lookup,
    Write,
    settle_applied,
    settle_failure,
    settle_inconclusive,
    settle_lookup,
    settle_lookup_by_id,
)
from leadline.sync.erasure import rules as erasure
from leadline.sync.fields import refusals
from leadline.workqueue.entry import Entry, Settlement


def settle(step: Step, results: dict[str, CommandResult], now_ms: int) -> Settlement:
    """The settlement of the step's user; has the `error` if a command of the step failed."""
    entry = step.entry
    try:
        values = [_value(results[key]) for key in step.keys]
        if isinstance(step.plan, Write) and entry.erased:
            return erasure.settle_written(entry).with_attempt(now_ms)
        if isinstance(step.plan, Write):
            last_applied = lead_parsing.parse_written(values[0], step.plan.command, _state(entry))
            settlement = settle_applied(entry, last_applied, is_create=step.plan.is_create)
            return settlement.with_attempt(now_ms)
        if isinstance(step.plan, Lookup):
            pages = map(lead_parsing.parse_page, values)
            return _settle_lookup(entry, now_ms, *pages).with_attempt(now_ms)
    except BitrixError as error:
        if (without_field := refusals.settle(step, error)) is not None:
            return without_field
        is_write = isinstance(step.plan, Write)
        settle_error = erasure.settle_failure if entry.erased else settle_failure
        settlement = settle_error(entry, error, now_ms, is_write=is_write)
        return replace(settlement, error=error).with_attempt(now_ms, error.detail)
    return erasure.settle_done(entry) if entry.erased else settle_applied(entry, None)


def _settle_lookup(
    entry: Entry, now_ms: int, by_origin: LookupPage, by_id: LookupPage | None = None
) -> Settlement:
    ours = [lead for lead in by_origin.leads if lead.origin == str(entry.user_id)]
    if ours and entry.erased:
        return replace(erasure.settle_lookup(entry, ours, now_ms), leads_found=len(ours))
    if ours:
        lead = next((lead for lead in ours if lead.lead_id == entry.known_lead_id), ours[0])
        settlement = settle_lookup(entry, lead, now_ms)
        return replace(settlement, leads_found=len(ours))
    leads_by_id = by_id.leads if by_id else []
    known = next((lead for lead in leads_by_id if lead.lead_id == entry.known_lead_id), None)
    if not by_origin.is_complete or (by_id and not known and not by_id.is_complete):
        if entry.needs_own_request:
            raise OutcomeUnknown("the lookup is unreadable")
        return settle_inconclusive(entry)
    by_id_rule = erasure.settle_lookup_by_id if entry.erased else settle_lookup_by_id
    return by_id_rule(entry, known, now_ms)


def _value(result: CommandResult) -> CommandResult:
    if isinstance(result, BitrixError):
        raise result
    return result


def _state(entry: Entry) -> leads.DesiredState:
    if entry.state is None:
        raise OutcomeUnknown("an entry without a state was written")
    return entry.state
