"""Normalise phone numbers to ITU-T E.164: `+77001112233`.

The library `phonenumbers` does the parsing. It matches patterns for brackets, extensions and
dialling prefixes, which took a tenth of a write's time, and its import takes a tenth of a cold
start. Most clients already send E.164; a fast path recognises it from a copy of the library's
numbering plans and needs neither (`requirements/numbering_plans.py` writes the copy).
"""

import re
from collections.abc import Container
from contextlib import suppress
from functools import cache, lru_cache
from typing import NamedTuple

from leadline.users.numbering_plans import PLANS

#: ITU-T E.164, 6.2.1; phonenumbers accepts some longer numbers.
MAX_DIGITS = 15

#: A number that may be in E.164 already.
_PLAIN = re.compile(rf"\+[1-9][0-9]{{6,{MAX_DIGITS - 1}}}")
#: Maximum digits of a calling code.
_MAX_CODE_DIGITS = 3
#: The prefix of a call to another country, in most countries.
_INTERNATIONAL_PREFIX = "00"


def e164(text: str, region: str) -> str:
    """The number in E.164; `region` (ISO 3166-1, or "") applies to numbers without country code.

    Raises:
        ValueError: not a possible phone number; the message is meant for the client.
    """
    if _is_canonical(text):
        return text
    import phonenumbers  # noqa: PLC0415 - costly to import, and most functions never parse a phone

    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException:
        raise ValueError("must be a phone number with country code, like +77001112233") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is not a possible phone number")
    formatted = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if len(formatted) > 1 + MAX_DIGITS:
        raise ValueError(f"must have {MAX_DIGITS} digits at most")
    return formatted


def possible_numbers(text: str, region: str) -> tuple[str, ...]:
    """The numbers in E.164 that this text may mean, to look users up by a phone in any notation.

    `region` as in `e164`. A number without `+` may also begin with its country code.

    Raises:
        ValueError: the text can't be a phone number; the message is meant for the client.
    """
    notations = [text.strip()]
    if not notations[0].startswith("+"):
        digits = re.sub("[^0-9]", "", text)
        notations.append(f"+{digits.removeprefix(_INTERNATIONAL_PREFIX)}")
    numbers: dict[str, None] = {}
    for notation in notations:
        with suppress(ValueError):
            numbers[e164(notation, region)] = None
    if not numbers:
        raise ValueError("must be a phone number with country code, like +77001112233")
    return tuple(numbers)


def dialled(digits: str) -> tuple[str, ...]:
    """The beginnings in E.164 of the numbers that someone may begin to dial with these digits.

    8 912 begins a number of Russia (`+7912`), 0171 one of any country whose prefix is 0, and
    0049 one of Germany.
    """
    if digits.startswith(_INTERNATIONAL_PREFIX):
        return (f"+{digits.removeprefix(_INTERNATIONAL_PREFIX)}",)
    return tuple(
        f"+{code}{national}"
        for code, prefix in _national_prefixes().items()
        if (national := prefix.sub("", digits, count=1)) not in {"", digits}
    )


@cache
def _national_prefixes() -> dict[str, re.Pattern[str]]:
    """The pattern of the national dialling prefix, by calling code."""
    return {code: re.compile(rf"\A(?:{prefix})") for code, (_, prefix) in PLANS.items() if prefix}


#: Number of trailing digits that even short numbers have in every notation.
_TAIL_DIGITS = 5
#: The number in a text, up to an extension.
_NUMBER = re.compile(r"[+0-9][^A-Za-z\u0400-\u04ff#;,]*")


def tail(text: str) -> int | None:
    """The last digits of a phone in any notation, by which the same number can be found.

    Different numbers may share them. None if the text has too few digits.
    """
    number = _NUMBER.search(text)
    digits = _digits(number[0]) if number else ""
    return int(digits[-_TAIL_DIGITS:]) if len(digits) >= _TAIL_DIGITS else None


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def canonical(text: str, region: str) -> str:
    """As `e164`, but a text that can't be a phone number stays as it is."""
    try:
        return e164(text, region)
    except ValueError:
        return text


#: How many trailing digits two notations of one phone have in common at least and at most: without
#: country and trunk codes.
_SHARED_DIGITS_MIN, _SHARED_DIGITS_MAX = 7, 10


def is_similar(text: str, other: str) -> bool:
    """Whether both may be one phone, as +7 701 111 22 33, 8 (701) 111-22-33 and 701 1112233 may.

    Ignores the country, which suffices for a lead that is known by its id.
    """
    ends = [_digits(phone).lstrip("0")[-_SHARED_DIGITS_MAX:] for phone in (text, other)]
    length = min(map(len, ends))
    return length >= _SHARED_DIGITS_MIN and ends[0][-length:] == ends[1][-length:]


def is_same(text: str, number: str) -> bool:
    """Whether a text in any notation means this number in E.164.

    A text without country code is taken for a number of the same country. A `number` that is not in
    E.164, as some senders store them, is compared by its digits.
    """
    if text == number:
        return True
    if tail(text) != tail(number):
        return False
    if not number.startswith("+"):
        return _digits(text) == _digits(number)
    try:
        return number in possible_numbers(text, _region_of(number))
    except ValueError:
        return False


def notations(number: str) -> tuple[str, ...]:
    """The ways to write this E.164 number: with country code, with trunk prefix, with neither."""
    import phonenumbers  # noqa: PLC0415 - see `e164`

    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return (number,)
    national = phonenumbers.national_significant_number(parsed)
    prefix = phonenumbers.ndd_prefix_for_region(_region_of(number), strip_non_digits=True) or ""
    return tuple(dict.fromkeys((number, prefix + national, national)))


@lru_cache(1000)
def _region_of(number: str) -> str:
    """The country of a number in E.164; "" if its code belongs to none."""
    import phonenumbers  # noqa: PLC0415 - see `e164`

    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return ""
    region = phonenumbers.region_code_for_number(parsed)
    code = parsed.country_code or 0
    return region or phonenumbers.region_code_for_country_code(code) or ""


class _NumberingPlan(NamedTuple):
    """The numbering plan of a calling code."""

    lengths: Container[int]
    #: The national dialling prefix, which is not part of the number.
    prefix: re.Pattern[str]


def _is_canonical(text: str) -> bool:
    """Whether the library would certainly return this text unchanged."""
    if not _PLAIN.fullmatch(text):
        return False
    for end in range(2, 2 + _MAX_CODE_DIGITS):  # no calling code is a prefix of another
        plan = _numbering_plan(text[1:end])
        if plan:
            return len(text) - end in plan.lengths and not plan.prefix.match(text, end)
    return False


@cache
def _numbering_plan(code: str) -> _NumberingPlan | None:
    """The numbering plan of a calling code, None for an unknown code."""
    if code not in PLANS:
        return None
    lengths, prefix = PLANS[code]
    # In some countries a leading zero is part of the number; leave those to the parser.
    return _NumberingPlan(lengths, re.compile(f"0|(?:{prefix or '0'})"))
