"""The examples of docs/clients.md run, and the generated clients are those of the document."""

import filecmp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import CHECKOUT, System

CLIENTS, BUILD = CHECKOUT / "clients", CHECKOUT / "build/clients"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = _BLOCK.findall((CHECKOUT / "docs/clients.md").read_text(encoding="utf-8"))
#: Those that call the API by HTTP, without a generated client.
WITHOUT_CLIENT = [
    (language, text)
    for language, text in EXAMPLES
    if language in {"sh", "js", "php"} or "import requests" in text
]
#: The external id of the user that each example creates, and prints.
EXAMPLE_ID = "crm-4711"
PROGRAMS = {"sh": "bash", "js": "node", "php": "php", "python": sys.executable}


@pytest.fixture(scope="module")
def generated_clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clients as the generators write them now."""
    if not shutil.which("npm"):
        pytest.skip("the generator for TypeScript needs Node.js and npm")
    folder = tmp_path_factory.mktemp("clients")
    subprocess.run((CHECKOUT / "scripts/clients", folder), check=True)
    return folder


def run(system: System, *command: str | Path, **env: str) -> str:
    """The output of a command, which must succeed."""
    result = subprocess.run(
        command,
        cwd=system.state.root,
        env={**os.environ, "API_KEY": "none-is-needed", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def write_example(system: System, example: str, path: Path) -> Path:
    """The file with an example, for this system."""
    text = example.replace("http://127.0.0.1:3000", system.url("edge"))
    path.write_text(text, encoding="utf-8")
    return path


def client_example(marker: str) -> str:
    (example,) = [text for _, text in EXAMPLES if marker in text]
    return str(example)


@pytest.mark.parametrize(("language", "example"), WITHOUT_CLIENT, ids=lambda value: value[:4])
def test_an_example_creates_the_user(
    system: System, tmp_path: Path, language: str, example: str
) -> None:
    program = shutil.which(PROGRAMS[language])
    if not program:
        pytest.skip(f"no {PROGRAMS[language]} on this machine")
    suffix = {"js": "mjs"}.get(language, language)
    script = write_example(system, example, tmp_path / f"example.{suffix}")
    assert EXAMPLE_ID in run(system, program, script)


@pytest.mark.slow("runs both generators; the first time, installs them")
def test_the_generated_clients_are_those_of_the_document(generated_clients: Path) -> None:
    generated_files = [
        path.relative_to(generated_clients)
        for path in generated_clients.rglob("*")
        if path.is_file()
    ]
    names = [str(path) for path in generated_files if ".ruff_cache" not in path.parts]
    assert len(names) > 30
    _, different, missing = filecmp.cmpfiles(generated_clients, CLIENTS, names, shallow=False)
    assert (different, missing) == ([], []), "run make clients"


@pytest.mark.usefixtures("generated_clients")
def test_the_python_client_works(system: System, tmp_path: Path) -> None:
    script = write_example(system, client_example("leadline_client"), tmp_path / "example.py")
    python = BUILD / "venv/bin/python"
    assert EXAMPLE_ID in run(system, python, script, PYTHONPATH=str(CLIENTS / "python"))


@pytest.mark.usefixtures("generated_clients")
@pytest.mark.slow("compiles TypeScript")
def test_the_typescript_client_compiles_and_works(system: System, tmp_path: Path) -> None:
    shutil.copy(CLIENTS / "typescript/leadline.d.ts", tmp_path)
    (tmp_path / "node_modules").symlink_to(BUILD / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    example = client_example("openapi-fetch")
    right = write_example(system, example, tmp_path / "right.ts")
    wrong = write_example(system, example.replace("full_name:", "name:"), tmp_path / "wrong.ts")
    types = BUILD / "node_modules/@types"
    options: tuple[str | Path, ...] = ("--strict", "--module", "nodenext", "--target", "es2022")
    options += ("--typeRoots", types, "--types", "node", "--outDir", tmp_path / "made")
    # Once for both, as it takes seconds; a file with an error is compiled, too.
    result = subprocess.run(
        (BUILD / "node_modules/.bin/tsc", *options, right, wrong),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    errors = [line for line in result.stdout.splitlines() if ": error " in line]
    assert errors, "a wrong name is an error"
    assert all("wrong.ts" in error for error in errors), result.stdout
    assert "full_name" in result.stdout
    compiled = next((tmp_path / "made").rglob("right.js"))
    assert EXAMPLE_ID in run(system, "node", shutil.copy(compiled, tmp_path))
