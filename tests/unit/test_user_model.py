"""The user as clients may write it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from leadline.users.model import Changes, Move, NewUser, User, UserId
from tests.unit.conftest import Configure

PHONE = "+77001112233"


def parse(model: type[BaseModel], **fields: Any) -> Any:
    return model.model_validate_json(json.dumps(fields))


def invalid_fields(model: type[BaseModel], **fields: Any) -> list[str]:
    """The names of the fields that the model rejects."""
    with pytest.raises(ValidationError) as caught:
        parse(model, **fields)
    return [".".join(map(str, error["loc"])) for error in caught.value.errors()]


def test_a_user_without_a_stage_is_new() -> None:
    user = parse(NewUser, full_name="Иван Иванов", phone=PHONE)
    assert (user.full_name, user.phone, user.stage) == ("Иван Иванов", PHONE, "NEW")


def test_a_name_is_trimmed() -> None:
    assert parse(NewUser, full_name="  Ann \u00a0", phone=PHONE).full_name == "Ann"


@pytest.mark.parametrize(
    "name", ["A", "x" * 100, "Ann 🙂 Lee", "أحمد", "O'Brien; DROP TABLE", "名"]
)
def test_a_name_in_any_script_is_kept_unchanged(name: str) -> None:
    assert parse(NewUser, full_name=name, phone=PHONE).full_name == name


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "a\x00b", "a\x7fb", "a\u2028b", 7])
def test_a_name_that_is_empty_too_long_or_has_control_characters_is_rejected(name: object) -> None:
    assert invalid_fields(NewUser, full_name=name, phone=PHONE) == ["full_name"]


def test_a_lone_surrogate_never_becomes_a_name() -> None:
    with pytest.raises(ValidationError):
        NewUser.model_validate_json(b'{"full_name": "\\ud800", "phone": "+77001112233"}')
    with pytest.raises(ValidationError):
        NewUser.model_validate({"full_name": "\ud800", "phone": PHONE})


@given(st.text(max_size=120))
def test_an_accepted_name_fits_the_database(name: str) -> None:
    try:
        user = NewUser.model_validate({"full_name": name, "phone": PHONE})
    except ValidationError:
        return
    assert 1 <= len(user.full_name) <= 100
    assert "\x00" not in user.full_name
    assert user.full_name == user.full_name.strip()
    user.full_name.encode()


@pytest.mark.parametrize(
    "written", ["+7 700 111-22-33", "+7(700)1112233", "  +77001112233 ", "tel:+7-700-111-2233"]
)
def test_a_phone_becomes_e164_however_it_is_written(written: str) -> None:
    assert parse(NewUser, full_name="Ann", phone=written).phone == PHONE


@pytest.mark.parametrize(
    "phone", ["", "abc", "87001112233", "0077001112233", "+7", "+999123456789", "+7" + "1" * 50, 7]
)
def test_a_number_without_a_valid_country_code_is_rejected(phone: object) -> None:
    assert invalid_fields(NewUser, full_name="Ann", phone=phone) == ["phone"]


def test_a_region_completes_a_national_number(configure: Configure) -> None:
    configure(phone_region="KZ")
    assert parse(NewUser, full_name="Ann", phone="8 700 111 22 33").phone == PHONE
    assert parse(NewUser, full_name="Ann", phone="+49 30 901820").phone == "+4930901820"


@given(st.from_regex(r"\+?[0-9 ()\-]{3,20}", fullmatch=True))
def test_an_accepted_phone_fits_the_database(written: str) -> None:
    try:
        phone = NewUser.model_validate({"full_name": "Ann", "phone": written}).phone
    except ValidationError:
        return
    assert phone[0] == "+"
    assert phone[1:].isdigit()
    assert 3 <= len(phone[1:]) <= 15


def test_a_phone_is_required() -> None:
    assert invalid_fields(NewUser, full_name="Ann") == ["phone"]
    assert invalid_fields(NewUser, full_name="Ann", phone=None) == ["phone"]


@pytest.mark.parametrize("extra", ["id", "bitrix_lead_id", "version", "fullName"])
@pytest.mark.parametrize("model", [NewUser, Changes])
def test_a_client_cannot_set_any_other_field(model: type[BaseModel], extra: str) -> None:
    assert invalid_fields(model, full_name="Ann", phone=PHONE, **{extra: 1}) == [extra]


def test_changes_contain_only_given_fields() -> None:
    changes = parse(Changes, full_name="Bob")
    assert changes.model_dump(exclude_unset=True) == {"full_name": "Bob"}


@pytest.mark.parametrize("fields", [{}, {"full_name": None}, {"stage": None, "full_name": "Bob"}])
def test_changes_without_a_field_or_with_null_are_rejected(fields: dict[str, Any]) -> None:
    assert invalid_fields(Changes, **fields)


@pytest.mark.parametrize("stage", ["new", "", "A B", "N\n", "NEW\x00", "S" * 51, 1, None])
def test_an_impossible_stage_is_rejected(stage: object) -> None:
    assert invalid_fields(Move, stage=stage) == ["stage"]


@pytest.mark.parametrize("stage", ["NEW", "UC_1A2B3C", "DT128_3:NEW"])
def test_a_portals_own_stage_is_accepted(stage: str) -> None:
    assert parse(Move, stage=stage).stage == stage


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1", b"{", b"", b"\xff", b"[" * 9000])
def test_a_body_that_is_not_an_object_is_rejected(body: bytes) -> None:
    with pytest.raises(ValidationError):
        NewUser.model_validate_json(body)


def test_the_body_of_a_user_has_these_keys_in_this_order() -> None:
    body = User(UserId(1), "Иван Иванов", PHONE, "NEW").body()
    assert list(body.items()) == [
        ("id", 1),
        ("full_name", "Иван Иванов"),
        ("phone", PHONE),
        ("stage", "NEW"),
    ]
