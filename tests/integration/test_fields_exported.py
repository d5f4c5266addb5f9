"""An export with further fields can be imported: each user has the same fields again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadline.ledger import accept
from leadline.users.further_fields import with_fields
from leadline.users.model import NewUser
from tests.integration.conftest import CommandOutput, rows
from tests.servers import postgres_connection

pytestmark = pytest.mark.usefixtures("connected")

Leadline = Callable[..., CommandOutput]

MAP = """
[fields.email]
type = "email"
lead = "EMAIL"

[fields.mobile]
type = "phone"
lead = "PHONE"
value_type = "MOBILE"

[fields.city]
type = "text"
lead = "UF_CRM_CITY"

[fields.note]
type = "text"
lead = "COMMENTS"
multiline = true

[fields.source]
type = "one-of"
values = { "my site" = "WEB", "1" = "CALL" }
lead = "SOURCE_ID"
default = "my site"

[fields.budget]
type = "number"
lead = "OPPORTUNITY"

[fields.age]
type = "number"
integer = true
lead = "UF_CRM_AGE"

[fields.vip]
type = "bool"
lead = "UF_CRM_VIP"

[fields.born]
type = "date"
lead = "BIRTHDATE"
"""
FULL = {
    "email": "Ann.Smith+x@example.com",
    "mobile": "+77017654321",
    "city": '=1+1; "Алматы", x',
    "note": "First, line\n\n'second'\t\"line\"\n-5",
    "source": "1",
    "budget": -1234567.25,
    "age": 0,
    "vip": False,
    "born": "0099-02-28",
}
PEOPLE: list[dict[str, Any]] = [
    FULL,
    {**FULL, "vip": True, "city": "'quoted", "budget": 1e-07, "note": "true", "email": None},
    {**FULL, "city": "None", "note": "null", "budget": 10**13, "age": -1, "source": "my site"},
    {"source": "my site"},
    {"vip": True, "city": "0", "note": "+7", "source": None},
    {"city": None, "source": None},
]


@pytest.fixture(autouse=True)
def mapped(connected: None, field_map: Callable[[str], None]) -> None:
    assert connected is None
    field_map(MAP)


def create(number: int, fields: dict[str, Any]) -> None:
    content = {"full_name": f"User {number}", "phone": f"+7700111220{number}"}
    accept.create(with_fields(NewUser).model_validate({**content, **fields}), key=None)


def stored_users() -> list[dict[str, Any]]:
    """The users, each with those of its further fields that have a value."""
    found = rows("SELECT full_name, phone, stage, fields FROM users ORDER BY full_name")
    return [
        {**row, "fields": {k: v for k, v in (row["fields"] or {}).items() if v is not None}}
        for row in found
    ]


@pytest.fixture
def delete_users(_postgres_urls: tuple[str, str]) -> Callable[[], None]:
    """A function that deletes all users, as the owner."""

    def truncate() -> None:
        with postgres_connection(_postgres_urls[0]) as owner:
            owner.run("TRUNCATE users, events, idempotency_keys CASCADE")

    return truncate


def reimport(
    leadline: Leadline, file: Path, delete_users: Callable[[], None], *options: str
) -> None:
    """Export all users into this file, delete them, and import it."""
    file.write_bytes(leadline("export", *options).out)
    delete_users()
    output = leadline("import", file)
    assert output.code == 0, output.err


def types_of_fields(users: list[dict[str, Any]]) -> list[dict[str, type]]:
    return [{name: type(value) for name, value in user["fields"].items()} for user in users]


def test_an_export_in_csv_is_imported_with_the_same_values(
    leadline: Leadline, tmp_path: Path, delete_users: Callable[[], None]
) -> None:
    for number, fields in enumerate(PEOPLE):
        create(number, fields)
    before = stored_users()
    assert before[0]["fields"] == FULL
    reimport(leadline, tmp_path / "users.csv", delete_users)
    for user in before[4:]:  # an empty cell is no value, and such new users get the default
        user["fields"] = {"source": "my site", **user["fields"]}
    assert stored_users() == before
    assert types_of_fields(stored_users()) == types_of_fields(before)


def test_an_export_in_json_keeps_null(
    leadline: Leadline, tmp_path: Path, delete_users: Callable[[], None]
) -> None:
    for number, fields in enumerate(PEOPLE):
        create(number, fields)
    before = stored_users()
    reimport(leadline, tmp_path / "users.jsonl", delete_users, "--json")
    assert stored_users() == before
    assert types_of_fields(stored_users()) == types_of_fields(before)
