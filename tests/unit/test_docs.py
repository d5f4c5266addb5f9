"""The pages agree: links resolve, the index is complete, both READMEs have the same content."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: Folders whose files are not in the repository.
_ELSEWHERE = {".venv", ".git", ".local", ".bench", "node_modules", "build"}


def _files() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in _ELSEWHERE]
        yield from (Path(folder, name) for name in names)


FILES = sorted(_files())
PAGES = [path for path in FILES if path.suffix == ".md"]
MODULES = {path.name for path in FILES if path.suffix in {".py", ".lua"}}
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def links(text: str) -> list[str]:
    return _LINK.findall(_SPAN.sub("``", _CODE.sub("", text)))


def headings(text: str) -> list[tuple[str, str]]:
    return _HEADING.findall(_CODE.sub("", text))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub derives from headings; repeated ones get -1, -2 and so on."""
    found: set[str] = set()
    for _, title in headings(text):
        name = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        number = sum(
            anchor == name or re.fullmatch(rf"{name}-\d+", anchor) is not None for anchor in found
        )
        found.add(f"{name}-{number}" if number else name)
    return found


def _name(value: Any) -> str:
    return str(value.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_resolves(page: Path) -> None:
    for link in links(text_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(text_of(target)), link


def test_the_index_lists_every_page() -> None:
    index = ROOT / "docs/README.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(text_of(index))}
    pages = {page for page in PAGES if page.parent in (ROOT / "docs", ROOT / "docs/deploy")}
    assert pages - listed == {index}


ENGLISH, RUSSIAN = text_of(ROOT / "README.md"), text_of(ROOT / "README.ru.md")


def test_both_readmes_have_the_same_sections() -> None:
    assert [level for level, _ in headings(ENGLISH)] == [level for level, _ in headings(RUSSIAN)]


def test_both_readmes_have_the_same_commands() -> None:
    assert commands(ENGLISH) == commands(RUSSIAN)


def test_both_readmes_have_the_same_links() -> None:
    assert targets(ENGLISH) == targets(RUSSIAN)


def test_both_readmes_have_the_same_tables_and_lists() -> None:
    assert rows(ENGLISH) == rows(RUSSIAN)


def test_both_readmes_have_the_same_figures() -> None:
    # Russian writes 1 234,5 for 1,234.5.
    russian = re.sub(r"(?<=\d),(?=\d)", ".", re.sub(r"(?<=\d)\s(?=\d{3}\b)", "", RUSSIAN))
    assert figures(re.sub(r"(?<=\d),(?=\d{3}\b)", "", ENGLISH)) == figures(russian)


def commands(text: str) -> list[str]:
    """Blocks of shell commands, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r" +# .*$", "", block, flags=re.MULTILINE) for block in blocks]


def targets(text: str) -> list[str]:
    """Targets of links, without anchors within the page and the link to the other language."""
    return sorted(
        link for link in links(text) if not link.startswith("#") and not link.startswith("README")
    )


def rows(text: str) -> list[str]:
    """The first character of each table row and list item, `|` or `-`, in order."""
    return [line[0] for line in _CODE.sub("", text).splitlines() if re.match(r"[|\-] ?\S?", line)]


def figures(text: str) -> list[str]:
    """Numbers in the prose and the tables, in any order; without those in code and addresses."""
    prose = re.sub(r"`[^`\n]*`|\]\([^)]*\)|<[^>\n]*>", "", _CODE.sub("", text))
    return sorted(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", prose))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    if page.name == "CHANGELOG.md":  # it names modules of earlier versions, too
        return
    modules = {
        span.rpartition("/")[2] for span in re.findall(r"`([\w./-]+\.(?:py|lua))`", text_of(page))
    }
    assert not modules - MODULES
