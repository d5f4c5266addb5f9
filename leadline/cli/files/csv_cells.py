"""Cells of a CSV file that a spreadsheet shows as text, not as formulas.

A spreadsheet evaluates a cell that begins with one of the signs below as a formula, and a formula
can send the other cells elsewhere: a user who chooses their own name could make an operator's Excel
do so. An apostrophe before the sign marks the cell as text.

A plus followed by digits only is a phone in E.164 and no formula: it stays, for other programs.
Source: https://owasp.org/www-community/attacks/CSV_Injection, and ASVS 5.0, 1.2.10.
"""

import re
from typing import Any

_SIGNS = "=+\\-@\0\t\r\n＝＋－＠"  # noqa: RUF001 - some spreadsheets take the wide ones too
#: Also a cell that itself begins with apostrophes: otherwise `unescape` would remove one of them.
_NEEDS_APOSTROPHE = re.compile(rf"'*[{_SIGNS}]")
_HAS_APOSTROPHE = re.compile(rf"'+[{_SIGNS}]")
_PHONE = re.compile(r"\+[0-9]+")


def escape(value: Any) -> Any:
    """The cell as written to the file; `unescape` restores it."""
    must_be_escaped = (
        isinstance(value, str) and _NEEDS_APOSTROPHE.match(value) and not _PHONE.fullmatch(value)
    )
    return f"'{value}" if must_be_escaped else value


def unescape(cell: Any) -> Any:
    """The content of a cell, without the apostrophe added by `escape` or a spreadsheet."""
    return cell[1:] if isinstance(cell, str) and _HAS_APOSTROPHE.match(cell) else cell
