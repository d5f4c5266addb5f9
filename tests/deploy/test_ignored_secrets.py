"""Secrets of an installation get neither into a commit nor into an image."""

import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [".env", ".env.local", ".env.bak"])
@pytest.mark.parametrize("folder", ["", "local", "functions/create_user", "deploy/processes"])
def test_git_ignores_environment_files_at_every_level(folder: str, name: str) -> None:
    path = str(Path(folder) / name)
    ignored = subprocess.run(["git", "check-ignore", path], cwd=CHECKOUT, check=False)
    assert ignored.returncode == 0, path


def test_the_example_of_an_environment_file_is_committed() -> None:
    path = "local/.env.example"
    ignored = subprocess.run(["git", "check-ignore", path], cwd=CHECKOUT, check=False)
    assert ignored.returncode == 1


def test_images_get_nothing_that_is_not_named_and_never_a_secret() -> None:
    rules = [
        line
        for line in (CHECKOUT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert rules[0] == "*", "deny by default"
    last_let_in = max(at for at, rule in enumerate(rules) if rule.startswith("!"))
    assert {"**/.env", "**/.env.*", "**/.secrets"} <= set(rules[last_let_in:])
