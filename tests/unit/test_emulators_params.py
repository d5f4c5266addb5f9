"""Queries and forms as the emulator reads them."""

from urllib.parse import parse_qsl, quote_plus

from hypothesis import example, given
from hypothesis import strategies as st

from emulator.http.params import from_query, nest

NAMES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["fields[PHONE][0][VALUE]", "a[]", "a[b]", "a", "[x]", "ё[ж]", "n" * 200]),
)
PAIRS = st.lists(st.tuples(NAMES, st.text(max_size=12)), max_size=6)


@given(PAIRS)
def test_a_query_is_read_as_it_was_written(pairs: list[tuple[str, str]]) -> None:
    written = [(clean(name), clean(value)) for name, value in pairs]
    text = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in written)
    assert from_query(text) == nest(written)
    assert from_query(text) == nest(written)  # now with cached names


@given(st.text(alphabet="ab[]=&%+0F5BDé;", max_size=40))
@example("a=1&a=2&b&=c&&%5Bx%5D=%zz&%ff=%D0")
def test_any_text_is_read_as_pythons_parser_reads_it(text: str) -> None:
    assert from_query(text) == nest(parse_qsl(text, keep_blank_values=True, errors="replace"))


def clean(text: str) -> str:
    """The text without lone surrogates, which no query can carry."""
    return text.encode("utf-8", "replace").decode()
