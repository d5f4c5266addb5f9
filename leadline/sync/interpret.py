"""Interprets the portal's answers: from the results of a step's commands to its settlement.

Pure, no I/O: the settlement carries what the caller must log, count or request.
"""

from dataclasses import replace

from leadline.bitrix24 import lead_parsing, leads, quiet_import
from leadline.bitrix24.client import CommandResult
from leadline.bitrix24.duplicates import merge, parse_found
from leadline.bitrix24.lead_parsing import LookupPage
from leadline.errors import BitrixError, OutcomeUnknown, Unavailable
from leadline.sync.batch_request import Step
from leadline.sync.decide import (
    Find,
    Lookup,
    Read,
    Write,
    settle_applied,
    settle_failure,
    settle_inconclusive,
    settle_lookup,
    settle_lookup_by_id,
)
from leadline.sync.duplicates import commands as searches
from leadline.sync.duplicates import rules as duplicates
from leadline.sync.erasure import rules as erasure
from leadline.sync.fields import refusals
from leadline.sync.fields.last_check import NO_CHECK, FieldCheck
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.settlement import Settlement


def settle(
    step: Step, results: dict[str, CommandResult], now_ms: int, check: FieldCheck = NO_CHECK
) -> Settlement:
    """The settlement of the step's user; has the `error` if a command of the step failed.

    `check`: the last check of the field map, needed if the portal refused a write.
    """
    entry = step.entry
    try:
        values = [_value_or_raise(results[key]) for key in step.keys]
        if isinstance(step.plan, Write):
            return _settle_write(step, step.plan, values[0]).with_attempt(now_ms)
        if isinstance(step.plan, Lookup):
            pages = map(lead_parsing.parse_page, values)
            return _settle_lookup(entry, now_ms, *pages).with_attempt(now_ms)
        if isinstance(step.plan, Find | Read):
            return _settle_search(step, values, now_ms).with_attempt(now_ms)
    except BitrixError as error:
        if without_field := refusals.settle(entry, step.plan, error, check):
            return without_field
        if check.is_outdated and refusals.may_concern(entry, step.plan, error):
            # By the next attempt, or after a republication, the new map has been checked.
            error = Unavailable(error.detail, code=error.code)
        is_write = isinstance(step.plan, Write)
        if entry.erased:
            error.detail = erasure.without_contacts(error.detail)
        settle_error = erasure.settle_failure if entry.erased else settle_failure
        settlement = settle_error(entry, error, now_ms, is_write=is_write)
        return replace(settlement, error=error).with_attempt(now_ms, error.detail)
    # No call was needed.
    return erasure.settle_done(entry) if entry.erased else settle_applied(entry, last_applied=None)


def _settle_write(step: Step, write: Write, answer: CommandResult) -> Settlement:
    entry = step.entry
    if entry.erased:
        return erasure.settle_written(entry)
    if step.position is not None:
        answer = quiet_import.parse(answer, step.position)  # the part about this lead
    last_applied = lead_parsing.parse_written(answer, write.command, _state_or_raise(entry))
    return settle_applied(entry, last_applied, is_create=write.is_create)


def _settle_lookup(
    entry: Entry, now_ms: int, by_origin: LookupPage, by_id: LookupPage | None = None
) -> Settlement:
    leads_by_origin = [lead for lead in by_origin.leads if lead.origin == str(entry.user_id)]
    if leads_by_origin and entry.erased:
        return replace(
            erasure.settle_lookup(entry, leads_by_origin, now_ms), leads_found=len(leads_by_origin)
        )
    if leads_by_origin:
        lead = next(
            (lead for lead in leads_by_origin if lead.lead_id == entry.known_lead_id),
            leads_by_origin[0],
        )
        settlement = settle_lookup(entry, lead, now_ms)
        return replace(settlement, leads_found=len(leads_by_origin))
    leads_by_id = {lead.lead_id: lead for lead in by_id.leads} if by_id else {}
    candidates = (leads_by_id.get(lead_id) for lead_id in entry.known_lead_ids)
    lead_by_id = next((lead for lead in candidates if lead), None)
    if not by_origin.is_complete or (by_id and not lead_by_id and not by_id.is_complete):
        if entry.needs_own_request:
            raise OutcomeUnknown("the lookup is unreadable")
        return settle_inconclusive(entry)
    settle_by_id = erasure.settle_lookup_by_id if entry.erased else settle_lookup_by_id
    return settle_by_id(entry, lead_by_id, now_ms)


def _settle_search(step: Step, values: list[CommandResult], now_ms: int) -> Settlement:
    answers = dict(zip(step.keys, values, strict=True))
    lead_pages = [answers[key] for key in step.keys if searches.is_for(key, searches.LEADS)]
    contact_pages = [answers[key] for key in step.keys if searches.is_for(key, searches.CONTACTS)]
    if isinstance(step.plan, Find):
        leads_found = merge([parse_found(page, "LEAD") for page in lead_pages])
        contacts_found = merge([parse_found(page, "CONTACT") for page in contact_pages])
        return duplicates.settle_found(step.entry, leads_found, contacts_found, now_ms)
    leads_read = [lead for page in lead_pages for lead in lead_parsing.parse_leads(page)]
    contacts_read = [
        contact for page in contact_pages for contact in lead_parsing.parse_leads(page)
    ]
    return duplicates.settle_read(step.entry, leads_read, contacts_read, now_ms)


def _value_or_raise(result: CommandResult) -> CommandResult:
    if isinstance(result, BitrixError):
        raise result
    return result


def _state_or_raise(entry: Entry) -> leads.DesiredState:
    if entry.state is None:
        raise OutcomeUnknown("an entry without a state was written")
    return entry.state
