"""By which phones and e-mails a user and a lead are recognised as one person."""

from dataclasses import replace
from pathlib import Path

import pytest

from leadline.bitrix24 import duplicates
from leadline.bitrix24.lead_fields.applied_fields import FoundFields, Row
from leadline.bitrix24.lead_fields.contact_details import ContactDetails, FoundDetails
from leadline.bitrix24.leads import DesiredState
from leadline.operations.first_match import match_keys
from leadline.users.snapshots import UserSnapshot
from tests.unit import maps
from tests.unit.conftest import Configure
from tests.unit.entries import found_lead

MAP = """
[fields.email]
type = "email"
lead = "EMAIL"

[fields.home_email]
type = "email"
lead = "EMAIL"
value_type = "HOME"

[fields.mobile]
type = "phone"
lead = "PHONE"
value_type = "MOBILE"
"""
PHONE = "+77011112233"
FIELDS = {"email": "Ann@Example.com", "home_email": "ann@home.example", "mobile": "+77019998877"}


@pytest.fixture
def field_map(configure: Configure, tmp_path: Path) -> Path:
    return maps.use(configure, tmp_path, MAP)


def state(**fields: str | None) -> DesiredState:
    return DesiredState("Ann Lee", PHONE, "NEW", fields)


def details_of_lead(phone: str, *emails: str, mobile: str = "") -> FoundDetails:
    rows = {"EMAIL": [Row(email, 20 + at, "OTHER") for at, email in enumerate(emails)]}
    if mobile:
        rows["PHONE"] = [Row(mobile, 30, "MOBILE")]
    return replace(
        found_lead(), phones=((phone, 9),), further=FoundFields({}, rows)
    ).contact_details


@pytest.mark.usefixtures("field_map")
@pytest.mark.parametrize(
    "matching",
    [
        details_of_lead("8 (701) 111-22-33"),
        details_of_lead("+7 701 111 22 33", "another@example.com"),
        details_of_lead("+1 555 010 20 30", "ANN@example.COM"),
        details_of_lead("+1 555 010 20 30", "other@example.com", " ann@home.example "),
        details_of_lead("+1 555 010 20 30", mobile="8 701 111 22 33"),
    ],
)
def test_one_phone_or_one_email_is_enough(matching: FoundDetails) -> None:
    details = ContactDetails.of(state(**FIELDS))
    assert matching.matches(details)


@pytest.mark.usefixtures("field_map")
@pytest.mark.parametrize(
    "other",
    [
        details_of_lead("+1 701 111 22 33"),
        details_of_lead("+7 701 111 22 34", "ann@example.co"),
        details_of_lead("+7 701 111 22 34", "xann@example.com", ""),
    ],
)
def test_similar_contact_details_belong_to_another_person(other: FoundDetails) -> None:
    assert not other.matches(ContactDetails.of(state(**FIELDS)))
    assert not other.matches(ContactDetails.of(state(email=None)))


def test_without_a_map_there_are_no_emails(configure: Configure) -> None:
    configure(mapping="")
    assert ContactDetails.of(state(**FIELDS)).emails == ()


def test_a_senders_phone_is_read_within_the_chosen_country(configure: Configure) -> None:
    configure(phone_region="KZ")
    details = ContactDetails.of(replace(state(), phone="8 (701) 111-22-33"))
    assert details.phone == PHONE
    assert details_of_lead("+7 701 1112233").matches(details)


def test_a_phone_without_country_equals_its_own_digits(configure: Configure) -> None:
    configure(phone_region="")
    details = ContactDetails.of(replace(state(), phone="8 (701) 111-22-33"))
    assert details_of_lead("8 701 1112233").matches(details)
    assert not details_of_lead("701 1112233").matches(details)


@pytest.mark.usefixtures("field_map")
def test_phones_and_emails_are_searched_in_all_their_notations() -> None:
    details = ContactDetails.of(state(**FIELDS))
    assert duplicates.values_of(details, "PHONE") == (PHONE, "87011112233", "7011112233")
    assert duplicates.values_of(details, "EMAIL") == ("ann@example.com", "ann@home.example")


@pytest.mark.parametrize(
    ("values_each", "groups"), [(1, [10, 10, 5]), (3, [6, 6, 6, 6, 1]), (20, [1] * 25)]
)
def test_a_search_has_20_values_and_10_users_at_most(values_each: int, groups: list[int]) -> None:
    shared = duplicates.group_by_command([("x",) * values_each] * 25)
    assert [len(group) for group in shared] == groups
    assert [at for group in shared for at in group] == list(range(25))


@pytest.mark.usefixtures("field_map")
def test_leads_that_match_a_user_share_a_match_key_with_it() -> None:
    user = UserSnapshot(
        id=7,
        full_name="Ann Lee",
        phone=PHONE,
        stage="NEW",
        version=1,
        lead_id=None,
        status="waiting",
        is_stage_unsynced=False,
        fields=FIELDS,
    )
    rows = {"EMAIL": [Row("ann@HOME.example", 20, "WORK")]}
    by_email = replace(found_lead(), phones=(), further=FoundFields({}, rows))
    by_phone = replace(found_lead(8), phones=(("701-111-22-33", 9),))
    other = replace(found_lead(9), phones=(("+77011112244", 9),))
    shared = match_keys.sharing_key(user, match_keys.group_by_key([by_email, by_phone, other]))
    assert shared == [by_phone, by_email]
    assert all(-(2**31) <= key < 2**31 for key in match_keys.of_user(user)), "Postgres' integer"
