"""Phone numbers in the form of ITU-T E.164: `+77001112233`.

The library `phonenumbers` decides what a number is. It reads whatever people write, by patterns for
brackets, extensions and dialling prefixes, and that was a tenth of a write. Most clients send a
number in this very form already; then its tables alone tell that it would stay as it is.
"""

import re
from collections.abc import Container
from functools import cache
from typing import NamedTuple

#: ITU-T E.164, 6.2.1; phonenumbers takes some numbers that are longer.
DIGITS = 15

_PLAIN = re.compile(rf"\+[1-9][0-9]{{6,{DIGITS - 1}}}")
_LONGEST_CODE = 3


def e164(text: str, region: str) -> str:
    """The number in that form; `region` (ISO 3166-1, or "") is of those without a country code.

    Raises:
        ValueError: it is no number, or not a possible one; says so to who sent it.
    """
    if _stays(text):
        return text
    import phonenumbers  # noqa: PLC0415 - costly, and most functions are never given a phone

    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException:
        raise ValueError("must be a phone number with country code, like +77001112233") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is not a possible phone number")
    formatted = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if len(formatted) > 1 + DIGITS:
        raise ValueError(f"must have {DIGITS} digits at most")
    return formatted


class _Plan(NamedTuple):
    """What numbers behind a calling code look like."""

    lengths: Container[int]
    #: What is dialled before them at home, and is none of theirs.
    prefix: re.Pattern[str]


def _stays(text: str) -> bool:
    """Whether the library is sure to leave this as it is; if in doubt not."""
    if not _PLAIN.fullmatch(text):
        return False
    for end in range(2, 2 + _LONGEST_CODE):  # no code is the beginning of another one
        plan = _plan(text[1:end])
        if plan:
            return len(text) - end in plan.lengths and not plan.prefix.match(text, end)
    return False


@cache
def _plan(code: str) -> _Plan | None:
    """The numbering plan of a calling code, None where there is no such code."""
    from phonenumbers import PhoneMetadata, region_code_for_country_code  # noqa: PLC0415

    metadata = PhoneMetadata.metadata_for_region_or_calling_code(
        int(code), region_code_for_country_code(int(code))
    )
    if metadata is None or metadata.general_desc is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    # A zero in front belongs to the number in some countries: the library knows where.
    return _Plan(metadata.general_desc.possible_length, re.compile(f"0|(?:{prefix or '0'})"))
