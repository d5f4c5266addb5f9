"""`leadline import` and `export`: one user per line, safe to repeat."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadline.ledger import bulk_import
from leadline.users import stages
from tests.integration.conftest import CommandOutput, execute, rows

Leadline = Callable[..., CommandOutput]
USERS = "SELECT id, full_name, phone, stage, version, sync_status FROM users ORDER BY id"


#: Names that a spreadsheet takes for formulas, or nearly.
FORMULAS = (
    "=1+2",
    "+1+2",
    "-1+2",
    "@SUM(1)",
    "＝1+2",
    "=HYPERLINK(1)",
    "''=1+2",
    "'Anna",
    "x=1",
    "+12",
)


@pytest.fixture(autouse=True)
def connected(in_postgres: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert in_postgres
    monkeypatch.setenv("LEADLINE_STATE", str(tmp_path))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file of this name with this text; returns its path."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


Write = Callable[[str, str], Path]


def test_each_line_becomes_a_user_with_its_event(leadline: Leadline, write: Write) -> None:
    file = write(
        "people.csv", "full_name,phone,stage\nАнна,+7 700 111 22 33,\nBo,+77001112234,JUNK\n"
    )
    output = leadline("import", file, "--json")
    assert (output.code, output.json["created"]) == (0, 2)
    assert [tuple(row.values()) for row in rows(USERS)] == [
        (1, "Анна", "+77001112233", "NEW", 1, "waiting"),
        (2, "Bo", "+77001112234", "JUNK", 1, "waiting"),
    ]
    events = rows("SELECT user_id, action, state, full_name, due_at <= now() AS due FROM events")
    assert [tuple(row.values()) for row in events] == [
        (1, "create_card", "open", "Анна", True),
        (2, "create_card", "open", "Bo", True),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "\ufeffИмя;Телефон;x\nАнна;+77001112233;1\n"),
        ("a.csv", "x\tИмя\tТелефон\n1\tАнна\t+77001112233\n"),
        ("a.jsonl", '{"Имя": "Анна", "Телефон": "+77001112233", "x": [1]}\n\n'),
    ],
)
def test_columns_may_have_any_name(leadline: Leadline, write: Write, name: str, text: str) -> None:
    words = ("--map", "full_name=Имя", "--map", "phone=Телефон", "--stage", "IN_PROCESS")
    assert leadline("import", write(name, text), *words).code == 0
    ((_, full_name, phone, stage, *_),) = [tuple(row.values()) for row in rows(USERS)]
    assert (full_name, phone, stage) == ("Анна", "+77001112233", "IN_PROCESS")


def test_nothing_is_imported_while_a_line_is_invalid(
    leadline: Leadline, write: Write, tmp_path: Path
) -> None:
    text = "full_name,phone,stage\nAnna,+77001112233,NEW\nBo,secret,NEW\nCy,+77001112235,NOPE\n"
    file = write("people.csv", text)
    output = leadline("import", file, "--json")
    assert output.code == 1
    assert output.json["rejected"] == 2
    assert rows(USERS) == []
    assert "line 3: phone" in output.err
    assert "secret" not in output.err
    with (tmp_path / "people.rejected.csv").open(encoding="utf-8") as rejected:
        found = list(csv.DictReader(rejected))
    assert [(row["full_name"], row["error"][:14]) for row in found] == [
        ("Bo", "line 3: phone:"),
        ("Cy", "line 4: stage:"),
    ]


def test_a_file_that_cannot_be_written_is_named(leadline: Leadline, write: Write) -> None:
    file = write("people.csv", "full_name,phone\nBo,wrong\n")
    output = leadline(
        "import", file, "--rejected", file.with_name("none") / "rejected.csv", "--json"
    )
    error = json.loads(output.err.splitlines()[-1])["error"]
    assert (output.code, error["code"]) == (2, "file_error")
    assert "none/rejected.csv: No such file" in error["message"]


@pytest.mark.parametrize(("number", "note"), [(20, "rejected lines, and why"), (23, "3 more")])
def test_every_rejected_line_is_shown_or_the_rest_is_counted(
    leadline: Leadline, write: Write, tmp_path: Path, number: int, note: str
) -> None:
    file = write("people.csv", "full_name,phone\n" + "Bo,wrong\n" * number)
    answer = leadline("import", file)
    assert answer.code == 1
    assert answer.err.count("phone:") == 20
    assert note in answer.err
    with (tmp_path / "people.rejected.csv").open(encoding="utf-8") as rejected:
        assert len(list(csv.DictReader(rejected))) == number


def test_rejected_lines_can_be_fixed_and_imported_separately(
    leadline: Leadline, write: Write, tmp_path: Path
) -> None:
    file = write(
        "a.jsonl", '{"full_name": "Anna", "phone": "+77001112233"}\n{"phone": 1}\nnonsense\n'
    )
    assert leadline("import", file, "--skip-rejected", "--json").json["created"] == 1
    rejected = tmp_path / "a.rejected.jsonl"
    first, second = (json.loads(line) for line in rejected.read_text().splitlines())
    assert (first["phone"], second) == (1, {"error": "line 3: is not a JSON object"})
    fixed = write("fixed.jsonl", json.dumps(first | {"full_name": "Bo", "phone": "+77001112234"}))
    assert leadline("import", fixed).code == 0
    assert [row["full_name"] for row in rows(USERS)] == ["Anna", "Bo"]


def test_a_dry_run_imports_nothing(leadline: Leadline, write: Write) -> None:
    file = write("people.csv", "full_name,phone\nAnna,+77001112233\n")
    output = leadline("import", file, "--check", "--json")
    assert (output.code, output.json["in_order"], output.json["created"]) == (0, 1, 0)
    assert rows(USERS) == []


def interrupt_after_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt an import after two parts of 1000 users, before the second is in the checkpoint."""
    original_create = bulk_import.create
    created: list[int] = []

    def create_part(users: Any, **options: Any) -> int:
        created.append(original_create(users, **options))
        if len(created) == 2:
            raise KeyboardInterrupt
        return created[-1]

    monkeypatch.setattr(bulk_import, "create", create_part)


@pytest.mark.parametrize("is_checkpoint_lost", [False, True])
def test_an_interrupted_import_resumes_without_duplicates(
    leadline: Leadline,
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_checkpoint_lost: bool,
) -> None:
    lines = "".join(f"User {n},+7700{1_000_000 + n}\n" for n in range(3500))
    file = write("people.csv", f"full_name,phone\n{lines}")
    with monkeypatch.context() as patched:
        interrupt_after_two_parts(patched)
        assert leadline("import", file).code != 0
    assert len(rows(USERS)) == 2000
    if is_checkpoint_lost:
        for checkpoint in tmp_path.glob("leadline-import-*"):
            checkpoint.unlink()
    assert leadline("import", file, "--json").json["created"] == 1500
    assert leadline("import", file, "--json").json["created"] == 0
    found = [row["full_name"] for row in rows(USERS)]
    assert found == [f"User {n}" for n in range(3500)]


def test_a_resumed_import_skips_no_user_even_if_a_stage_was_removed(
    leadline: Leadline, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "CACHE_S", 0)
    stages.replace([stages.Stage("NEW"), stages.Stage("OLD")])
    lines = (f"User {n},+7700{n:07},{'OLD' if n < 1500 else 'NEW'}\n" for n in range(2500))
    file = write("people.csv", "full_name,phone,stage\n" + "".join(lines))
    with monkeypatch.context() as patched:
        interrupt_after_two_parts(patched)
        assert leadline("import", file).code != 0
    stages.replace([stages.Stage("NEW")])
    assert leadline("import", file, "--skip-rejected", "--json").json["created"] == 500
    assert [row["full_name"] for row in rows(USERS)] == [f"User {n}" for n in range(2500)]


def test_the_checkpoint_is_in_the_chosen_state_folder(
    leadline: Leadline, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_folder = tmp_path / "named"
    state_folder.mkdir()
    (state_folder / "environment.json").write_text("{}")
    checkpoints_before_each_part: list[list[str]] = []

    def list_checkpoints(_users: Any, **_options: Any) -> int:
        found = [path.name for path in state_folder.glob("leadline-import-*")]
        checkpoints_before_each_part.append(found)
        return 0

    file = write("a.csv", "full_name,phone\n" + "".join(f"U,+7700{n:07}\n" for n in range(2000)))
    monkeypatch.setattr(bulk_import, "create", list_checkpoints)
    assert leadline("--state", state_folder, "import", file).code == 0
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    assert checkpoints_before_each_part == [[], [f"leadline-import-{digest}.json"]]


EXISTING = "id,full_name,phone,stage,lead\n7,Anna,+77001112233,NEW,501\n9,Bo,+77001112234,JUNK,\n"
KEEP_IDS = ("--map", "id=id", "--map", "bitrix_lead_id=lead")
LEADS = "SELECT id, bitrix_lead_id, sync_status, stage FROM users ORDER BY id"


def test_users_of_another_system_keep_their_ids_and_leads(
    leadline: Leadline, write: Write, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres)  # the owner's: only the owner may choose ids
    file = write("people.csv", EXISTING)
    assert leadline("import", file, *KEEP_IDS, "--json").json["created"] == 2
    assert [tuple(row.values()) for row in rows(LEADS)] == [
        (7, 501, "synced", "NEW"),
        (9, None, "waiting", "JUNK"),
    ]
    # Only the user without a lead is sent to Bitrix24.
    open_events = rows("SELECT user_id FROM events WHERE due_at IS NOT NULL")
    assert [row["user_id"] for row in open_events] == [9]
    repeat = leadline(
        "import", write("again.csv", EXISTING + "8,Late,+77001112235,NEW,\n"), *KEEP_IDS
    )
    assert "line 4: id" in repeat.err
    execute("DELETE FROM idempotency_keys")  # keys expire after a day
    repeat = leadline("import", file, *KEEP_IDS, "--json")
    assert (repeat.json["created"], len(rows(LEADS))) == (0, 2)
    assert "2 lines were imported already" in repeat.err
    leadline("import", write("new.csv", "full_name,phone\nCy,+77001112236\n"))
    assert rows(LEADS)[-1]["id"] == 10


@pytest.mark.usefixtures("functions_login")
def test_foreign_ids_are_accepted_from_the_owner_only_and_on_request(
    leadline: Leadline, write: Write
) -> None:
    file = write("people.csv", EXISTING)
    refused = leadline("import", file, *KEEP_IDS)
    assert refused.code == 3
    assert "owns the tables" in refused.err
    assert rows(LEADS) == []
    assert leadline("import", file, "--json").json["created"] == 2
    assert [row["bitrix_lead_id"] for row in rows(LEADS)] == [None, None]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [(",1", "id: Field required"), ("x,1", "id: "), ("5,-1", "bitrix_lead_id: "), ("0,1", "id: ")],
)
def test_invalid_ids_are_rejected(
    leadline: Leadline, write: Write, cells: str, problem: str
) -> None:
    file = write("people.csv", f"full_name,phone,id,lead\nAnna,+77001112233,{cells}\n")
    output = leadline("import", file, *KEEP_IDS)
    assert (output.code, rows(LEADS)) == (1, [])
    assert f"line 2: {problem}" in output.err


LEADS_ONLY = ("--map", "bitrix_lead_id=lead")


def test_a_lead_on_two_lines_is_rejected_at_the_second(leadline: Leadline, write: Write) -> None:
    lines = "Anna,+77001112233,501\nBo,+77001112234,502\nCy,+77001112235,501\n"
    file = write("people.csv", f"full_name,phone,lead\n{lines}")
    output = leadline("import", file, *LEADS_ONLY)
    assert (output.code, rows(LEADS)) == (1, [])
    assert "line 4: bitrix_lead_id: already on an earlier line" in output.err
    assert leadline("import", file, *LEADS_ONLY, "--skip-rejected", "--json").json["created"] == 2
    assert [row["bitrix_lead_id"] for row in rows(LEADS)] == [501, 502]


def test_a_lead_of_an_existing_user_is_rejected_and_the_rest_may_be_imported(
    leadline: Leadline, write: Write
) -> None:
    first = write("first.csv", "full_name,phone,lead\nAnna,+77001112233,501\n")
    assert leadline("import", first, *LEADS_ONLY).code == 0
    lines = "Bo,+77001112234,502\nCy,+77001112235,501\nDee,+77001112236,\n"
    second = write("second.csv", f"full_name,phone,lead\n{lines}")
    output = leadline("import", second, *LEADS_ONLY)
    assert (output.code, len(rows(LEADS))) == (1, 1)
    assert "line 3: bitrix_lead_id: another user has it" in output.err
    for created in (2, 0):  # a repeat finds its own users
        output = leadline("import", second, *LEADS_ONLY, "--skip-rejected", "--json")
        assert (output.json["created"], output.json["rejected"]) == (created, 1)
    assert [row["bitrix_lead_id"] for row in rows(LEADS)] == [501, 502, None]
    assert leadline("import", first, *LEADS_ONLY, "--json").json["created"] == 0


def test_a_lead_assigned_during_an_import_leaves_nothing_half_imported(
    leadline: Leadline, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute("INSERT INTO users (full_name, phone, stage) VALUES ('Zed', '+77001112239', 'NEW')")
    original_create = bulk_import.create

    def create_after_the_lead_is_taken(users: Any, **options: Any) -> int:
        execute("UPDATE users SET bitrix_lead_id = 501")
        return original_create(users, **options)

    monkeypatch.setattr(bulk_import, "create", create_after_the_lead_is_taken)
    lines = "Anna,+77001112233,500\nBo,+77001112234,501\n"
    file = write("people.csv", f"full_name,phone,lead\n{lines}")
    output = leadline("import", file, *LEADS_ONLY)
    assert output.code == 2
    assert "start again" in output.err
    assert (len(rows(LEADS)), rows("SELECT FROM idempotency_keys")) == (1, [])


def test_an_external_id_is_imported_for_one_user(leadline: Leadline, write: Write) -> None:
    first = write(
        "first.csv", "full_name,phone,external_id\nAnna,+77001112233,a\nBo,+77001112234,\n"
    )
    assert leadline("import", first, "--json").json["created"] == 2
    ids = "SELECT external_id FROM users ORDER BY id"
    assert [row["external_id"] for row in rows(ids)] == ["a", None]
    lines = "Cy,+77001112235,b\nDee,+77001112236,a\nEd,+77001112237,b\nFay,+77001112238,\n"
    second = write("second.csv", f"full_name,phone,own\n{lines}")
    output = leadline("import", second, "--map", "external_id=own")
    assert (output.code, len(rows(ids))) == (1, 2)
    assert "line 3: external_id: another user has it" in output.err
    assert "line 4: external_id: already on an earlier line" in output.err
    output = leadline("import", second, "--map", "external_id=own", "--skip-rejected", "--json")
    assert (output.json["created"], output.json["rejected"]) == (2, 2)
    assert [row["external_id"] for row in rows(ids)] == ["a", None, "b", None]
    # A repeat after the keys have expired makes no second user.
    execute("DELETE FROM idempotency_keys")
    assert leadline("import", first).code == 1
    assert len(rows(ids)) == 4
    output = leadline("import", first, "--map", "external_id=nowhere")
    assert "no column nowhere" in output.err


def test_an_unreadable_file_is_reported(leadline: Leadline, write: Write, tmp_path: Path) -> None:
    for file, text in (
        (tmp_path / "none.csv", "none.csv: No such file or directory"),
        (write("a.csv", "name,phone\nAnna,+77001112233\n"), "no column full_name"),
        (write("b.csv", 'full_name,phone\nAnna,+77001112233\n"B"o,+7700\n'), "after line 2"),
    ):
        output = leadline("import", file)
        assert output.code == 2
        assert text in output.err
    (tmp_path / "latin.csv").write_bytes("full_name,phone\nZoë,+77001112233\n".encode("latin-1"))
    assert "UTF-8" in leadline("import", tmp_path / "latin.csv").err


def test_an_export_can_be_imported(leadline: Leadline, write: Write, tmp_path: Path) -> None:
    lines = "".join(f'"User, ""{n}""",+7700{1_000_000 + n}\n' for n in range(440))
    lines += "".join(f'"{name}",+77001112233\n' for name in FORMULAS)
    leadline("import", write("people.csv", f"full_name,phone\n{lines}"))
    users = "SELECT full_name, phone, stage FROM users WHERE id > :after ORDER BY id"
    before = rows(users, after=0)
    for words, name in (((), "out.csv"), (("--json",), "out.jsonl")):
        (tmp_path / name).write_bytes(leadline("export", *words).out)
    for after, name in ((450, "out.csv"), (900, "out.jsonl")):
        assert leadline("import", tmp_path / name, "--json").json["created"] == 450
        assert rows(users, after=after) == before


def test_no_exported_cell_is_a_formula_to_a_spreadsheet(leadline: Leadline, write: Write) -> None:
    lines = "".join(f'"{name}",+77001112233\n' for name in FORMULAS)
    leadline("import", write("people.csv", f"full_name,phone\n{lines}"))
    execute("UPDATE users SET sync_status = 'failed', sync_reason = '=cmd|calc' WHERE id = 1")
    exported = [*csv.reader(leadline("export").out.decode().splitlines())]
    cells = {cell for line in exported for cell in line}
    assert not [cell for cell in cells if cell.startswith(tuple("=-@\t\r＝"))]
    # A phone stays readable for other programs: digits alone are no formula.
    assert {cell for cell in cells if cell.startswith("+")} == {"+77001112233", "+12"}
    assert {"'=1+2", "'+1+2", "'=cmd|calc"} <= cells


def test_rejected_lines_contain_no_formulas_either_and_keep_their_text(
    leadline: Leadline, write: Write, tmp_path: Path
) -> None:
    file = write("people.csv", "full_name,phone,=note\n=1+2,+7 700 111,'=3\n")
    leadline("import", file)
    rejected = tmp_path / "people.rejected.csv"
    with rejected.open(encoding="utf-8", newline="") as opened:
        header, line = csv.reader(opened)
    assert header == ["full_name", "phone", "'=note", "error"]
    assert line[:3] == ["'=1+2", "'+7 700 111", "'=3"]
    fixed = write("fixed.csv", rejected.read_text("utf-8").replace("'+7 700 111", "+77001112233"))
    assert leadline("import", fixed, "--json").json["created"] == 1
    assert rows(USERS)[0]["full_name"] == "=1+2"
