"""Cells of a CSV file that a spreadsheet shows as text, whatever they begin with.

A spreadsheet runs a cell that begins with one of the signs below as a formula, and a formula can
send what stands in the other cells elsewhere: whoever may choose a name could make an operator's
Excel do so. An apostrophe before the sign is what spreadsheets know for "this is text".

A plus with nothing but digits is a phone in E.164 and no formula: it stays, for other programs.
Source: https://owasp.org/www-community/attacks/CSV_Injection, and ASVS 5.0, 1.2.10.
"""

import re
from typing import Any

_SIGNS = "=+\\-@\0\t\r\n＝＋－＠"  # noqa: RUF001 - some spreadsheets take the wide ones too
#: With any number of apostrophes, so that one more can always be told from those that were there.
_NEEDS_ONE = re.compile(rf"'*[{_SIGNS}]")
_HAS_ONE = re.compile(rf"''*[{_SIGNS}]")
_PHONE = re.compile(r"\+[0-9]+")


def escaped(value: Any) -> Any:
    """The cell as it is written: `text` gives it back."""
    is_formula = isinstance(value, str) and _NEEDS_ONE.match(value) and not _PHONE.fullmatch(value)
    return f"'{value}" if is_formula else value


def text(cell: Any) -> Any:
    """What a cell holds: without the apostrophe that `escaped` or a spreadsheet has put there."""
    return cell[1:] if isinstance(cell, str) and _HAS_ONE.match(cell) else cell
