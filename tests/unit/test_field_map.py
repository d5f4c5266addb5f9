"""The map's file: what it may say, mistakes named by line, and changes taken up."""

import os
from pathlib import Path

import pytest

from leadline.errors import BadConfiguration
from leadline.mapping import current, file
from leadline.mapping.current import field_map
from leadline.runtime.serving import serve
from tests.unit import maps
from tests.unit.conftest import Configure


def mistake(text: str) -> str:
    """What is wrong with this file, as its reader says."""
    with pytest.raises(BadConfiguration) as caught:
        file.parse(text)
    return str(caught.value)


def map_with_field(**keys: str) -> str:
    values = {"type": '"text"', "lead": '"UF_CRM_X"', **keys}
    return "[fields.x]\n" + "".join(
        f"{name} = {value}\n" for name, value in values.items() if value
    )


def test_each_field_is_found_by_its_place_in_the_lead() -> None:
    found = file.parse(maps.EXAMPLE)
    assert {target: name for target, (name, _) in found.by_target.items()} == {
        "EMAIL:WORK": "email",
        "UF_CRM_CITY": "city",
        "SOURCE_ID": "source",
        "OPPORTUNITY": "budget",
        "UF_CRM_VIP": "vip",
        "BIRTHDATE": "born",
        "COMMENTS": "note",
    }
    assert found.constants == {"ASSIGNED_BY_ID": 7, "OPENED": True}


def test_without_a_map_there_is_no_defect() -> None:
    assert field_map() is None
    assert current.defect() is None


def test_an_empty_file_maps_nothing() -> None:
    assert file.parse("").fields == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (map_with_field(type='"texd"'), ["line 2", "[fields.x] type", "'text'", "'one-of'"]),
        (map_with_field(type=""), ["line 1", "[fields.x] type", "is required"]),
        (map_with_field(lead=""), ["line 1", "[fields.x] lead", "is required"]),
        (map_with_field(lead='"STATUS_ID"'), ["line 3", "written by Leadline itself"]),
        (map_with_field(lead='"TITLE"'), ["line 3", "written by Leadline itself"]),
        (map_with_field(lead='"SUORCE_ID"'), ["line 3", "SUORCE_ID", "SOURCE_ID", "UF_CRM_"]),
        (map_with_field(lead='"BIRTHDATE"'), ["line 1", "BIRTHDATE holds date, not text"]),
        (map_with_field(lead='"EMAIL"'), ["line 1", "EMAIL holds type 'email'"]),
        (map_with_field(lead='"PHONE"', type='"phone"'), ["line 1", "the user's own phone"]),
        (map_with_field(value_type='"HOME"'), ["line 1", "value_type is for EMAIL"]),
        (
            map_with_field(colour='"red"'),
            ["line 4", "[fields.x] colour", "is no key here", "max_length"],
        ),
        (map_with_field(max_length="0"), ["line 4", "max_length"]),
        (map_with_field(max_length='"long"'), ["line 4", "max_length"]),
        (map_with_field(min="1"), ["line 1", "min is a limit of number and date"]),
        (map_with_field(type='"number"', max_length="9"), ["max_length is a limit of text"]),
        (map_with_field(type='"number"', min="5", max="4"), ["min is above max"]),
        (map_with_field(min_length="9", max_length="4"), ["min_length is above max_length"]),
        (map_with_field(type='"one-of"'), ["one-of needs `values`"]),
        (map_with_field(type='"one-of"', values="[]"), ["line 4", "1 to 500 values"]),
        (map_with_field(type='"one-of"', values='{ a = "1", b = "1" }'), ["line 4", "same id"]),
        (
            map_with_field(type='"one-of"', values='["a"]', default='"b"'),
            ["default must be one of a"],
        ),
        (map_with_field(type='"number"', default='"5"'), ["default must be a number"]),
        (map_with_field(type='"number"', max="4", default="5"), ["default is above max 4"]),
        (map_with_field(type='"bool"', default="1"), ["default must be true or false"]),
        (map_with_field(type='"date"', default='"2026-01-31"'), ["default must be a date"]),
        (map_with_field(max_length="2", default='"abc"'), ["default must have 0 to 2 characters"]),
        (map_with_field(required="true", default='"a"'), ["a required field has no default"]),
        (map_with_field(owner='"both"'), ["line 4", "[fields.x] owner", "'leadline' or 'crm'"]),
        (map_with_field(lead='"NAME"', max_length="60"), ["NAME has 50 characters"]),
        (
            map_with_field().replace("fields.x", "fields.phone"),
            ["[fields.phone]", "Leadline's own"],
        ),
        (map_with_field().replace("fields.x", "fields.City"), ["lower-case letters"]),
        (
            map_with_field() + map_with_field().replace("fields.x", "fields.y"),
            ["line 4", "UF_CRM_X already holds x"],
        ),
        (map_with_field() + "[constants]\nUF_CRM_X = 1\n", ["UF_CRM_X is a constant as well"]),
        ("[constants]\nFOO = 1\n", ["line 2", "[constants] FOO", "is no field"]),
        ('[constants]\nEMAIL = "a@b.cc"\n', ["line 2", "EMAIL can't be a constant"]),
        ("[constants]\nOPENED = [1]\n", ["line 2", "[constants] OPENED"]),
        ("[field.x]\n", ["line 1", "[field]", "is no key here", "fields, constants"]),
        ("[fields.x\n", ["no TOML", "line 1"]),
        ("[fields]\nx = 1\n", ["line 2", "[fields.x]"]),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_was_expected(
    text: str, expected: list[str]
) -> None:
    message = mistake(text)
    assert [word for word in expected if word not in message] == [], message


def test_every_mistake_is_named_at_once() -> None:
    message = mistake(map_with_field(type='"texd"', lead='"FOO"') + "[constants]\nBAR = 1\n")
    assert all(word in message for word in ("texd", "FOO", "BAR"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for content in (None, b"\xff", b"#" * (file.MAX_BYTES + 1)):
        path = tmp_path / "map.toml"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadConfiguration, match=r"map\.toml"):
            file.read(path)


def change_file(path: Path, text: str) -> None:
    """Write the file, and let the process look at it."""
    path.write_text(text, encoding="utf-8")
    # A change within the clock's resolution would not be seen.
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))
    map_file = current._map_file()  # noqa: SLF001 - instead of waiting
    assert map_file is not None
    map_file._check_at = 0  # noqa: SLF001 - the same


def test_a_changed_map_is_taken_up_without_a_restart(configure: Configure, tmp_path: Path) -> None:
    path = maps.use(configure, tmp_path, map_with_field())
    first = field_map()
    assert first is not None
    assert field_map() is first
    change_file(path, map_with_field(max_length="7"))
    second = field_map()
    assert second is not None
    assert second.fields["x"].max_length == 7


def test_a_map_that_becomes_wrong_leaves_the_last_good_one_in_use(
    configure: Configure, tmp_path: Path
) -> None:
    path = maps.use(configure, tmp_path, map_with_field())
    first = field_map()
    change_file(path, map_with_field(type='"texd"'))
    assert field_map() is first
    assert "[fields.x] type" in (current.defect() or "")
    path.unlink()
    current._map_file()._check_at = 0  # type: ignore[union-attr]  # noqa: SLF001 - as above
    assert field_map() is first
    assert "can't be read" in (current.defect() or "")
    change_file(path, map_with_field(max_length="9"))
    assert field_map() is not first
    assert current.defect() is None


def test_a_process_with_a_wrong_map_does_not_start(configure: Configure, tmp_path: Path) -> None:
    maps.use(configure, tmp_path, map_with_field(type='"texd"'))
    with pytest.raises(BadConfiguration, match="texd"):
        current.check()
    with pytest.raises(BadConfiguration, match="texd"):
        field_map()


def test_a_function_with_a_wrong_map_does_not_start(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(__file__).parents[2] / "functions/create_user"
    monkeypatch.setenv("FUNCTION_TARGET", "create_user")
    configure(auth="off")
    serve.build_app(folder)
    maps.use(configure, tmp_path, map_with_field(type='"texd"'))
    with pytest.raises(BadConfiguration, match="line 2"):
        serve.build_app(folder)
