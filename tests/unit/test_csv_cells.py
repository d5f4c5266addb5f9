"""A cell of a CSV file is text to a spreadsheet, and is read back unchanged."""

from hypothesis import example, given
from hypothesis import strategies as st

from leadline.cli.files.csv_cells import escape, unescape

SIGNS = "=+-@\0\t\r\n＝＋－＠"


@given(st.text(st.sampled_from(f"'{SIGNS}1aя "), max_size=6) | st.text(max_size=20))
@example("+77001112233")
@example("''=1")
def test_every_text_is_read_back(cell: str) -> None:
    assert unescape(escape(cell)) == cell


@given(st.sampled_from(SIGNS), st.text(max_size=20))
def test_a_text_that_begins_with_a_sign_is_escaped_unless_it_is_a_phone(
    sign: str, rest: str
) -> None:
    cell = escape(sign + rest)
    assert cell[0] == "'" or (cell[0] == "+" and cell[1:].isdecimal())


def test_numbers_and_missing_values_are_not_escaped() -> None:
    assert [escape(cell) for cell in (-1, None, "", "Анна")] == [-1, None, "", "Анна"]
