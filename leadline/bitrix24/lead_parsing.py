"""Parses leads out of the portal's answers: a lead that was written, leads that a lookup found."""

from dataclasses import dataclass
from typing import Any

from leadline.bitrix24.command import Command
from leadline.bitrix24.lead_fields import further_fields, further_parsing
from leadline.bitrix24.lead_fields.applied_fields import NO_FIELDS_FOUND, FoundFields
from leadline.bitrix24.lead_fields.contact_details import ContactDetails, FoundDetails
from leadline.bitrix24.leads import NAME_MAX, PAGE, DesiredState, LastApplied, name_is_full_name
from leadline.errors import OutcomeUnknown
from leadline.users import phones

#: Maximum digits of an id, so that it fits into 64 bits.
_ID_DIGITS_MAX = 18
#: Longer names of stages are cut.
STAGE_NAME_MAX = 255

#: A number, and the id of its row in the lead.
Phone = tuple[str, int]


def parse_written(answer: Any, command: Command, state: DesiredState) -> LastApplied:
    """Parse the lead that a create or an update returns.

    The portal's answer wins over what was sent: it may have truncated a name. A field that the
    answer leaves out counts as written.

    Raises:
        OutcomeUnknown: the answer is not the lead that was written.
    """
    item = answer.get("item") if isinstance(answer, dict) else None
    lead_id = _positive_int(item.get("id")) if isinstance(item, dict) else None
    if not isinstance(item, dict) or lead_id is None:
        raise OutcomeUnknown("the answer names no lead")
    _check_identity(item, lead_id, command)
    rows = _phones(item.get("fm"), "typeId", "value", "id", "valueType")
    phone, row = _choose_phone(rows or (), state.phone, previous=None) or (state.phone, None)
    title, name = _text(item, "title"), _text(item, "name")
    full_name = _full_name(
        state.full_name if title is None else title,
        state.full_name[:NAME_MAX] if name is None else name,
    )
    return LastApplied(lead_id, full_name, phone, row, further_parsing.parse_item(item, state))


def _check_identity(item: dict[str, Any], lead_id: int, command: Command) -> None:
    """Raise OutcomeUnknown if the answer is another lead than the one that was written."""
    sent_id = command.params.get("id", lead_id)
    sent_origin = command.params["fields"].get("originId")
    origin = _text(item, "originId")
    if lead_id != sent_id or (sent_origin and origin and origin != sent_origin):
        raise OutcomeUnknown("the answer is another lead's")


@dataclass(frozen=True, slots=True)
class FoundLead:
    """A lead that a lookup found; or a contact, which is read in the same form."""

    lead_id: int
    title: str
    name: str
    #: Phone numbers and the ids of their rows.
    phones: tuple[Phone, ...]
    stage: str
    origin: str
    originator: str
    further: FoundFields = NO_FIELDS_FOUND
    #: P: in process, S: success, F: failure; "": the portal does not say.
    semantics: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it is neither converted nor rejected."""
        if self.semantics:
            return self.semantics == "P"
        return self.stage not in {"CONVERTED", "JUNK"}

    @property
    def is_free(self) -> bool:
        """Whether it is open and has no origin: created by hand, or by a form of the portal."""
        return self.is_open and not self.origin and not self.originator

    @property
    def contact_details(self) -> FoundDetails:
        """All phones and e-mails of this lead or contact."""
        return FoundDetails.of([number for number, _ in self.phones], self.further.rows)

    @property
    def full_name(self) -> str | None:
        """The name; None if the lead has none, or if title and name differ."""
        return _full_name(self.title, self.name) or None

    def belongs_to_other(self, originator: str) -> bool:
        """Whether its origin names another user, or another installation than this originator.

        For a lead that the lookup by the user's origin did not find.
        """
        return bool(self.origin) or self.originator not in {"", originator}

    def resembles(self, state: DesiredState) -> bool:
        """Whether it has the name, the phone in any notation, or an e-mail of this state."""
        names = {_words(self.title), _words(self.name)} - {()}
        is_named = _words(state.full_name) in names or _words(state.full_name[:NAME_MAX]) in names
        details = self.contact_details
        return (
            is_named
            or any(phones.is_similar(number, state.phone) for number in details.phones)
            or not details.emails.isdisjoint(ContactDetails.of(state).emails)
        )

    def last_applied(self, state: DesiredState, previous: LastApplied | None = None) -> LastApplied:
        """The lead as last applied.

        Of several phones it takes the user's own, else the one last applied, else the first.
        """
        number, row = _choose_phone(self.phones, state.phone, previous) or (None, None)
        further = self.further.as_applied(
            further_fields.desired_values(state), previous.further if previous else None
        )
        return LastApplied(self.lead_id, self.full_name, number, row, further)

    def differences(self, state: DesiredState) -> dict[str, tuple[str | None, str | None]]:
        """The fields that a write of this state would change: the lead's value, and the user's.

        By name: full_name, phone, and further fields, whose values are texts in the lead's form.
        Leaves out the stage, which people may set in the CRM, fields for which the user never had a
        value, and fields that the CRM owns and has. None: no value, or title and name differ.
        """
        differences: dict[str, tuple[str | None, str | None]] = {}
        if self.full_name != state.full_name:
            differences["full_name"] = (self.full_name, state.full_name)
        if state.phone not in {number for number, _ in self.phones}:
            differences["phone"] = (self.last_applied(state).phone, state.phone)
        return differences | further_fields.differences(self.further, state)


@dataclass(frozen=True, slots=True)
class LookupPage:
    """The answer to a lookup."""

    #: Oldest first.
    leads: list[FoundLead]
    #: No lead can be missing: the page was not full, and all its rows were readable.
    is_complete: bool


def parse_page(answer: Any) -> LookupPage:
    """Parse the leads of a lookup; leaves out unreadable rows.

    Raises:
        OutcomeUnknown: the answer is not a list of leads.
    """
    if not isinstance(answer, list):
        raise OutcomeUnknown("the answer is not a list of leads")
    readable = [lead for lead in map(_parse_lead, answer) if lead]
    is_complete = len(readable) == len(answer) < PAGE
    return LookupPage(sorted(readable, key=lambda lead: lead.lead_id), is_complete)


def parse_leads(answer: Any) -> list[FoundLead]:
    """Parse the leads of a lookup, oldest first.

    Raises:
        OutcomeUnknown: the answer is not a list of leads, or one of them is unreadable.
    """
    leads = parse_page(answer).leads
    if len(leads) < len(answer):
        raise OutcomeUnknown("a lead can't be read")
    return leads


def _parse_lead(row: Any) -> FoundLead | None:
    """Parse a row of crm.lead.list; None if it is unreadable."""
    lead_id = _positive_int(row.get("ID")) if isinstance(row, dict) else None
    if lead_id is None:
        return None
    own_phones = _phones(row.get("PHONE"), "TYPE_ID", "VALUE", "ID", "VALUE_TYPE")
    further = further_parsing.parse_row(row)
    if own_phones is None or further is None:
        return None
    return FoundLead(
        lead_id,
        _text(row, "TITLE") or "",
        _text(row, "NAME") or "",
        own_phones,
        _text(row, "STATUS_ID") or "",
        _text(row, "ORIGIN_ID") or "",
        _text(row, "ORIGINATOR_ID") or "",
        further,
        _text(row, "STATUS_SEMANTIC_ID") or "",
    )


def _full_name(title: str, name: str) -> str | None:
    """The full name that a lead's TITLE and NAME hold; None if they differ."""
    if name_is_full_name() and name != title[:NAME_MAX]:
        return None
    return title


def _words(text: str) -> tuple[str, ...]:
    """A name, normalized: case and white space don't count."""
    return tuple(text.casefold().split())


def _phones(
    rows: Any, kind: str, value: str, row_id: str, value_type: str
) -> tuple[Phone, ...] | None:
    """Parse the phones of a lead, whose rows have these keys; None if a row is unreadable.

    A lead without phones has no such field, an empty text or null. Leaves out phones that are
    further fields.
    """
    if not rows:
        return ()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    further_types = further_fields.phone_types()
    all_phones = [row for row in rows if row.get(kind, "PHONE") == "PHONE"]
    phone_rows = [row for row in all_phones if str(row.get(value_type)) not in further_types]
    parsed = [(_text(row, value), _positive_int(row.get(row_id))) for row in phone_rows]
    readable = tuple((number, number_id) for number, number_id in parsed if number and number_id)
    return readable if len(readable) == len(parsed) else None


def _choose_phone(
    candidates: tuple[Phone, ...], phone: str, previous: LastApplied | None
) -> Phone | None:
    """Choose the user's own phone, in any notation, else the one last applied, else the first."""
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    row, number = (previous.phone_row, previous.phone) if previous else (None, None)

    def rank(candidate: Phone) -> tuple[bool, bool, bool, bool]:
        text, row_id = candidate
        # False sorts first.
        return text != phone, not phones.is_similar(text, phone), row_id != row, text != number

    return min(candidates, key=rank)


def _text(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    return str(value) if isinstance(value, str | int) else None


def parse_stage_ids(answer: Any) -> list[str]:
    """Parse the stage ids of `list_stages`; raises as `parse_stages`."""
    return [stage for stage, _ in parse_stages(answer)]


def parse_stages(answer: Any) -> list[tuple[str, str | None]]:
    """Parse the answer to `list_stages`: the id and the name of each stage.

    Raises:
        OutcomeUnknown: the answer is not a list of stages.
    """
    rows = [row for row in answer if isinstance(row, dict)] if isinstance(answer, list) else []
    parsed = [
        (str(row["STATUS_ID"]), _stage_name(_text(row, "NAME") or ""))
        for row in rows
        if row.get("STATUS_ID")
    ]
    if not parsed:
        raise OutcomeUnknown("the answer is not a list of stages")
    return parsed


def _stage_name(text: str) -> str | None:
    """A name on one line, without what Postgres rejects; None if nothing is left."""
    line = " ".join(text.split())
    return "".join(char for char in line if char.isprintable())[:STAGE_NAME_MAX] or None


def _positive_int(value: object) -> int | None:
    text = str(value)
    if len(text) > _ID_DIGITS_MAX or not (text.isascii() and text.isdigit()):
        return None
    return int(text) or None  # 0 is no id
