"""The guides name only existing files, commands and tests."""

import re
from pathlib import Path

import pytest

from leadline.runtime import cleartext
from tests.deploy.manifests import CHECKOUT, stack

GUIDES = [*sorted((CHECKOUT / "docs/deploy").glob("*.md")), CHECKOUT / "docs/security.md"]
_IN_CODE = re.compile(r"`((?:tests|deploy|scripts|local|docs)/[\w./-]+?)(?:::(\w+))?`")
_COMMAND = re.compile(r"(?:-k|-f|\./|^ *)((?:deploy|scripts|local)/[\w./-]+)", re.MULTILINE)

#: Files with commands that people copy or that run as they are.
COMMANDS = sorted(
    [
        *CHECKOUT.glob("*.md"),
        *(CHECKOUT / "docs").rglob("*.md"),
        *(CHECKOUT / "deploy").rglob("*.yaml"),
        *(CHECKOUT / "local").glob("*.yml"),
        *(path for path in (CHECKOUT / "scripts").iterdir() if path.is_file()),
        CHECKOUT / "Makefile",
    ]
)
#: Forms that put a secret into the list of processes, which every login of a machine can read.
_IN_ARGUMENTS = re.compile(
    r"""
      (?:-H|--header)[\ =]*["']Authorization[:=]\ *(?:Bearer|Basic)\b
    | --from-literal=["']?[\w-]*(?:password|key|secret|token)
    | --requirepass\b | --password[=\ ] | \bredis-cli\b.*\s-a\s
    | \brabbitmqctl\ +(?:add_user|change_password)\ +\S+\ +\S
    | \b(?:psql|pg_dump|pg_restore|createdb)\b.*(?:\$\{?\w*URL|://[^@\s"']*:[^@\s"']*@)
    | \bcurl\b.*(?:\ -u\ |://[^@/\s"']*:[^@/\s"']*@)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _id(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("guide", GUIDES, ids=_id)
def test_named_files_and_tests_exist(guide: Path) -> None:
    for name, test in _IN_CODE.findall(_text(guide)):
        path = CHECKOUT / name
        # Files that an operator creates do not exist yet.
        if name == "local/.env":
            continue
        assert path.exists(), name
        assert not test or f"def {test}(" in _text(path), f"{name} has no {test}"


@pytest.mark.parametrize("guide", GUIDES, ids=_id)
def test_commands_name_existing_files(guide: Path) -> None:
    for name in _COMMAND.findall(_text(guide)):
        assert (CHECKOUT / name).exists(), name


def test_every_expectation_has_its_row() -> None:
    rows = re.findall(
        r"^\| (\d+) \|", _text(CHECKOUT / "docs/deploy/expectations.md"), re.MULTILINE
    )
    assert rows == [str(number) for number in range(1, 32 + 1)]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_no_command_has_a_secret_among_its_arguments(path: Path) -> None:
    text = _text(path).replace("\\\n", " ")
    assert [match[0] for match in _IN_ARGUMENTS.finditer(text)] == []


def test_the_guides_count_and_push_every_image() -> None:
    functions = stack().functions.keys()
    guides = {path.stem: " ".join(_text(path).split()) for path in GUIDES}
    assert f"CE lacks: {len(functions)} of its 15 functions" in guides["openfaas"]
    assert f"at most 15 functions (here: {len(functions)})" in guides["faasd"]
    (pushed,) = re.findall(r"for name in ([\w -]+); do docker push", guides["knative"])
    assert set(pushed.split()) == functions | {"processes"}


_ADDRESS = re.compile(r"\b(?:postgresql|amqp|redis|http)://[^\s`'\"<>)\]]+")
#: Cleartext connections within a cluster or a machine, which LEADLINE_CLEARTEXT lists.
_INSIDE = re.compile(r"\.svc\.cluster\.local\b|//gateway:8080\b|//0\.0\.0\.0")


@pytest.mark.parametrize("path", [*GUIDES, CHECKOUT / "deploy/secrets.example.yaml"], ids=_id)
def test_guides_use_tls_or_a_tunnel_from_the_first_command_on(path: Path) -> None:
    addresses = [
        address for address in _ADDRESS.findall(_text(path)) if not _INSIDE.search(address)
    ]
    for address in addresses:
        cleartext.require_tls("postgres", address)  # of any server: only an error names it
