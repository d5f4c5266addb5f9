"""Phones in E.164: a number already in that form is returned as the library would format it."""

import runpy
import subprocess
import sys
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from leadline.users import phones

CHECKOUT = Path(__file__).parents[2]


def outcome(text: str) -> str:
    """The number, or why it is invalid."""
    try:
        return phones.e164(text, "")
    except ValueError as error:
        return str(error)


def as_spaced(text: str) -> str:
    """The same number in a form that only the library parses."""
    return f"{text[:2]} {text[2:]}"


@given(st.from_regex(r"\+[0-9]{5,17}", fullmatch=True))
@example("+49030901820")  # the 0 is dialled in Germany only
@example("+390236618300")  # this 0 is a part of the number
@example("+77001112233")
@example("+870773111632")  # satellites: no country has this code
@example("+999123456789")  # no code at all
def test_a_plain_number_gives_the_same_with_spaces(text: str) -> None:
    assert outcome(text) == outcome(as_spaced(text))


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_numbers_of_each_country_give_the_same_with_spaces(region: str) -> None:
    for kind in PhoneNumberType.values():
        number = phonenumbers.example_number_for_type(region, kind)
        if number:
            text = phonenumbers.format_number(number, PhoneNumberFormat.E164)
            assert outcome(text) == outcome(as_spaced(text))


def test_the_numbering_plans_are_those_of_the_installed_library() -> None:
    """`python requirements/numbering_plans.py` writes them."""
    plans = runpy.run_path(str(CHECKOUT / "requirements" / "numbering_plans.py"))
    assert plans["FILE"].read_text(encoding="utf-8") == plans["text"]()


def test_a_plain_number_does_not_import_the_library() -> None:
    """It would take a tenth of a cold start."""
    code = (
        "import sys; from leadline.users import phones\n"
        "assert phones.e164('+77001112233', '') == '+77001112233'\n"
        "assert 'phonenumbers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True)


@pytest.mark.parametrize(
    "text",
    [
        "8 (701) 111-22-33",
        "7 701 111 22 33",
        "701 1112233",
        "+7 701 111-22-33 доб. 5",
        "тел. 87011112233",
        "0077011112233",
    ],
)
def test_a_number_is_the_same_in_each_notation_of_its_country(text: str) -> None:
    assert phones.is_same(text, "+77011112233")
    assert phones.tail(text) == phones.tail("+77011112233")


@pytest.mark.parametrize(
    "text",
    ["+1 701 111 22 33", "2233", "1112233", "+77011112234", "8 702 111 22 33", "", "no phone"],
)
def test_another_number_is_not_the_same(text: str) -> None:
    assert not phones.is_same(text, "+77011112233")


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_a_number_is_the_same_in_the_notations_that_are_searched(region: str) -> None:
    number = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if number and (number.national_number or 0) > 9999:  # shorter ones are not found by their end
        text = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        assert all(phones.is_same(notation, text) for notation in (text, national))
        assert text in phones.notations(text)
        assert len(phones.notations(text)) <= 3
