"""`leadline keys`: a key is shown once, stored as a hash, and can be revoked."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from leadline.errors import Forbidden
from leadline.runtime.http import api_keys, auth
from tests.integration.conftest import CommandOutput, rows

Leadline = Callable[..., CommandOutput]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The secret file as mounted for functions and for the command line."""
    monkeypatch.setenv("LEADLINE_SECRETS_DIR", str(tmp_path))
    return tmp_path / "api-keys"


def grants(key: str) -> set[str]:
    """The scopes that a function grants this key."""
    granted = set()
    for scope in ("read", "write", "operate"):
        try:
            auth.authenticate(f"Bearer {key}", scope)
        except Forbidden:
            continue
        granted.add(scope)
    return granted


def create(leadline: Leadline, *words: object) -> tuple[str, str]:
    """Create a key; returns it, and its entry in the file."""
    output = leadline("keys", "create", *words, "--json")
    assert output.code == 0, output.err
    return output.json["key"], output.json["entry"]


def test_a_new_key_grants_its_scopes_until_it_is_revoked(leadline: Leadline, file: Path) -> None:
    words = ("--scope", "write", "--days", 30, "--file", file)
    key, entry = create(leadline, "crm-form", *words)
    ops_key, _ = create(leadline, "ops", "--scope", "read", "--scope", "operate", "--file", file)
    assert file.read_text().splitlines()[0] == entry
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (grants(key), grants(ops_key)) == ({"write"}, {"read", "operate"})
    output = leadline("keys", "revoke", "crm-form")
    assert (output.code, output.out) == (0, b"revoked: 1\n")
    assert "kubectl" in output.err
    assert (grants(key), grants(ops_key)) == (set(), {"read", "operate"})
    assert leadline("keys", "revoke", "crm-form").code == 1
    assert leadline("keys", "revoke", "").code == 1


def test_one_of_two_keys_of_a_holder_is_revoked_by_its_prefix(
    leadline: Leadline, file: Path
) -> None:
    words = ("crm-form", "--scope", "write", "--file", file)
    old, new = create(leadline, *words)[0], create(leadline, *words)[0]
    assert leadline("keys", "revoke", old[:8], "--file", file).code == 0
    assert (grants(old), grants(new)) == (set(), {"write"})


def test_revoking_several_keys_at_once_asks(leadline: Leadline, file: Path) -> None:
    words = ("crm-form", "--scope", "write", "--file", file)
    keys = [create(leadline, *words)[0] for _ in range(2)]
    for typed in (None, "n\n"):
        output = leadline("keys", "revoke", "crm-form", typed=typed)
        assert (output.code, "Revoke 2 keys of crm-form?" in output.err) == (2, True)
    assert [grants(key) for key in keys] == [{"write"}] * 2
    assert leadline("keys", "revoke", "crm-form", "--yes").code == 0
    assert [grants(key) for key in keys] == [set(), set()]


def test_comments_and_other_entries_stay_as_they_are(leadline: Leadline, file: Path) -> None:
    plain = "read:plain-key-of-the-tests-of-128-bits"
    file.write_text(f"# ours\n{plain}")
    file.chmod(0o444)
    create(leadline, "crm-form", "--scope", "write", "--file", file)
    assert file.read_text().startswith(f"# ours\n{plain}\ncrm-form:")
    assert leadline("keys", "revoke", "crm-form").code == 0
    assert file.read_text() == f"# ours\n{plain}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o444


def test_the_list_shows_no_key_and_marks_unusable_entries(leadline: Leadline, file: Path) -> None:
    plain = "plain-key-of-the-tests-of-128-bits"
    expired = "gone:read:ll_abcde:2020-01-31:" + "a" * 64
    # The second is too short, the third has expired, the fourth names no scope.
    file.write_text(f"{plain}\nhunter2\n{expired}\nraed:{plain}\n")
    create(leadline, "crm-form", "--scope", "write", "--days", 1, "--file", file)
    output = leadline("keys", "list", "--json")
    keys = output.json["keys"]
    assert output.code == 1
    assert [key["entry"] for key in keys] == [1, 2, 3, 4, 5]
    assert [bool(key["trouble"]) for key in keys] == [False, True, True, True, False]
    assert [key["kept"] for key in keys] == ["plain", "plain", "hashed", "plain", "hashed"]
    for text in (output.out.decode(), leadline("keys", "list").out.decode()):
        assert plain not in text
        assert "hunter2" not in text


def test_a_line_with_a_second_key_is_left_alone(leadline: Leadline, file: Path) -> None:
    lines = [api_keys.create(name, frozenset({"read"}), days=None)[1] for name in ("one", "two")]
    file.write_text(" ".join(lines))
    output = leadline("keys", "revoke", "one")
    assert (output.code, "put each on its own line" in output.err) == (2, True)
    assert file.read_text() == " ".join(lines)


@pytest.mark.parametrize(
    "words",
    [
        ("create", "crm-form"),
        ("create", "crm form", "--scope", "write"),
        ("create", "crm:form", "--scope", "write"),
        ("create", "crm-form", "--scope", "internal"),
        ("create", "crm-form", "--scope", "everything"),
        ("create", "crm-form", "--scope", "write", "--days", "0"),
        ("list", "--file", "/nowhere/api-keys"),
        ("revoke", "crm-form", "--file", "/nowhere/api-keys"),
        ("create", "crm-form", "--scope", "write", "--file", "/nowhere/api-keys"),
    ],
)
def test_invalid_arguments_are_a_usage_error(leadline: Leadline, words: tuple[str, ...]) -> None:
    assert leadline("keys", *words).code == 2


def test_without_a_mounted_file_the_file_must_be_given(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADLINE_SECRETS_DIR", "/nowhere")
    assert leadline("keys", "revoke", "crm-form").code == 2
    assert leadline("keys", "list", "--json").json == {"keys": []}


def test_create_and_revoke_are_in_the_audit_trail(
    leadline: Leadline, file: Path, in_postgres: str
) -> None:
    assert in_postgres
    key, _ = create(leadline, "crm-form", "--scope", "write", "--file", file)
    leadline("keys", "revoke", "crm-form")
    trail = leadline("audit", "--json").json["items"]
    assert [entry["action"] for entry in trail] == ["revoke key", "create key"]
    assert trail[1]["about"] == {"key": "crm-form", "prefix": key[:8], "scopes": ["write"]}
    assert key not in str(rows("SELECT CAST(about AS text) AS about FROM audit"))
