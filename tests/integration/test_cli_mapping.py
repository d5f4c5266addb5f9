"""`leadline mapping`: checks the map with the emulated portal, and drafts a map from its fields."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadline import process
from leadline.mapping import current, file
from leadline.settings import settings
from tests.integration.conftest import CommandOutput, Control, rows

Leadline = Callable[..., CommandOutput]
EMAIL = '[fields.email]\ntype = "email"\nlead = "EMAIL"\n'
CITY = '[fields.city]\ntype = "text"\nlead = "UF_CRM_CITY"\n'
BUDGET = '[fields.budget]\ntype = "number"\nlead = "OPPORTUNITY"\n'


@pytest.fixture(autouse=True)
def connected(
    in_postgres: str,
    in_redis: str,
    webhook_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert in_postgres
    assert in_redis
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    monkeypatch.setenv("LEADLINE_STATE", str(tmp_path))
    monkeypatch.setenv("LEADLINE_RATE_PER_S", "0")


@pytest.fixture
def map_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes a map file and has the process use it; returns its path."""

    def use_map(text: str) -> Path:
        path = tmp_path / "leadline.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("LEADLINE_MAPPING", str(path))
        process.forget(settings)
        process.forget(current._map_file)  # noqa: SLF001 - as a new process has it
        return path

    return use_map


def test_mapping_check_reports_a_map_that_fits(
    leadline: Leadline, map_file: Callable[[str], Path]
) -> None:
    map_file(EMAIL)
    output = leadline("mapping", "check")
    assert (output.code, output.out.decode()) == (0, "1 fields, 0 constants: all fits\n")


def test_mapping_check_names_each_misfit(
    leadline: Leadline, map_file: Callable[[str], Path]
) -> None:
    path = map_file(EMAIL + CITY)
    output = leadline("mapping", "check")
    assert output.code == 1
    assert "city   UF_CRM_CITY  the portal has no such field" in output.out.decode()
    assert leadline("mapping", "check", path, "--json").json == {
        "fields": 2,
        "misfits": [
            {"field": "city", "lead": "UF_CRM_CITY", "problem": "the portal has no such field"}
        ],
    }
    assert leadline("mapping", "check", "--offline").code == 0
    doctor: Any = leadline("doctor", "--json").json
    checks = {check["name"]: check for check in doctor["checks"]}
    assert checks["LEADLINE_MAPPING"]["told"] == "2 fields, 0 constants"
    assert not checks["field city"]["is_well"]
    assert "no such field" in checks["field city"]["told"]


def test_a_mistake_in_the_file_is_named_by_its_line(
    leadline: Leadline, map_file: Callable[[str], Path]
) -> None:
    map_file(EMAIL + CITY.replace("text", "texd"))
    output = leadline("mapping", "check", "--offline")
    assert output.code == 3
    assert "line 5, [fields.city] type" in output.err
    (check,) = (
        check
        for check in leadline("doctor", "--json").json["checks"]
        if check["name"] == "LEADLINE_MAPPING"
    )
    assert "line 5" in check["told"]


def test_without_a_map_there_is_nothing_to_check(leadline: Leadline) -> None:
    output = leadline("mapping", "check")
    assert output.code == 3
    assert "LEADLINE_MAPPING" in output.err


def test_the_first_map_fits_the_portal_and_never_replaces_a_file(
    leadline: Leadline, tmp_path: Path, control: Control
) -> None:
    control("settings", "PUT", {"mandatory_fields": []})
    path = tmp_path / "first.toml"
    assert leadline("mapping", "init", "--output", path).code == 0
    assert "email" in file.read(path).fields
    assert leadline("mapping", "check", path).code == 0
    assert leadline("mapping", "init", "--output", path).code == 3
    printed = leadline("mapping", "init").out.decode()
    assert printed.strip() == path.read_text(encoding="utf-8").strip()
    fields: Any = leadline("mapping", "init", "--json").json
    assert {"SOURCE_ID", "COMMENTS", "EMAIL"} <= {field["name"] for field in fields}


def test_an_import_takes_the_fields_and_an_export_writes_them(
    leadline: Leadline, map_file: Callable[[str], Path], tmp_path: Path
) -> None:
    map_file(EMAIL + BUDGET + CITY)
    people = tmp_path / "people.csv"
    people.write_text(
        "full_name,phone,mail,budget\nAnn,+77001112233,ann@example.com,12.5\n"
        "Bob,+77001112244,,\nCy,+77001112255,,much\n"
    )
    mapped = ("--map", "email=mail")
    output = leadline("import", people, *mapped)
    assert output.code == 1
    assert "budget" in (tmp_path / "people.rejected.csv").read_text()
    assert leadline("import", people, *mapped, "--skip-rejected").code == 1
    stored = rows("SELECT full_name, fields FROM users ORDER BY id")
    assert [row["fields"] for row in stored] == [{"email": "ann@example.com", "budget": 12.5}, None]
    exported = leadline("export").out.decode().splitlines()
    assert exported[0].startswith("id,full_name,phone,stage,external_id,created_at,updated_at,")
    assert ",email,budget,city,status," in exported[0]
    assert ",ann@example.com,12.5,," in exported[1]
