"""Match keys, by which leads and contacts are found for a user; different persons may share one."""

from collections import defaultdict
from collections.abc import Iterable
from zlib import crc32

from leadline.bitrix24.lead_fields.contact_details import ContactDetails
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.users import phones
from leadline.users.snapshots import UserSnapshot


def of_user(user: UserSnapshot) -> set[int]:
    """The keys of a user's phone and e-mails."""
    details = ContactDetails.of(user)
    return _keys([details.phone], details.emails)


def of_entity(entity: FoundLead) -> set[int]:
    """The keys of a lead's or a contact's phones and e-mails."""
    details = entity.contact_details
    return _keys(details.phones, details.emails)


def group_by_key(entities: Iterable[FoundLead]) -> dict[int, list[FoundLead]]:
    """Leads or contacts by each of their keys."""
    by_key: dict[int, list[FoundLead]] = defaultdict(list)
    for entity in entities:
        for key in of_entity(entity):
            by_key[key].append(entity)
    return by_key


def sharing_key(user: UserSnapshot, by_key: dict[int, list[FoundLead]]) -> list[FoundLead]:
    """The leads or contacts that share a key with this user, each once, oldest first."""
    matches = {entity.lead_id: entity for key in of_user(user) for entity in by_key.get(key, ())}
    return [matches[entity_id] for entity_id in sorted(matches)]


def _keys(numbers: Iterable[str], emails: Iterable[str]) -> set[int]:
    """Last digits of phones, and negative hashes of e-mails: they fit into Postgres' integer."""
    tails = {key for number in numbers if (key := phones.tail(number)) is not None}
    return tails | {-(crc32(email.encode()) >> 1) - 1 for email in emails}
