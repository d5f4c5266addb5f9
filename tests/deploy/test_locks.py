"""Images install only versions from the lock with which everything was tested."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.packages import REQUIREMENTS, pinned_for, pinned_module, requirements_file

CHECKOUT = Path(__file__).parents[2]
LISTS = (
    *sorted(CHECKOUT.glob("functions/*/requirements.txt")),
    CHECKOUT / "deploy/processes/requirements.txt",
    CHECKOUT / "local/requirements.txt",
    CHECKOUT / "template/leadline/function/requirements.txt",
)
#: Installed packages; the lock also contains some for other systems and Python versions.
INSTALLED = {
    pinned_module().name_of(distribution.name)
    for distribution in importlib.metadata.distributions()
}


def pins(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Version (with marker) and hashes of each package."""
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
    return {
        entry.partition("==")[0]: (
            entry.partition("==")[2].partition("\\")[0].strip(),
            frozenset(re.findall(r"sha256:[0-9a-f]{64}", entry)),
        )
        for entry in entries
    }


def test_images_get_the_tested_versions() -> None:
    tested, installed = pins(requirements_file("dev.txt")), pins(requirements_file())
    # Environment markers may differ, as fewer packages require the dependency.
    for name, (version, hashes) in installed.items():
        assert hashes
        assert tested[name][0].split()[0] == version.split()[0], name
        assert tested[name][1] == hashes, name


def test_no_tool_of_the_tests_is_in_an_image() -> None:
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & pins(requirements_file()).keys()


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.parent.name)
def test_a_list_takes_exactly_its_requirements_from_the_lock(path: Path) -> None:
    chosen = pins(pinned_for(path))
    for name in chosen.keys() & INSTALLED:
        # The unconditional requirements in the package's own metadata.
        needed = importlib.metadata.requires(name) or []
        for requirement in (text for text in needed if ";" not in text):
            assert pinned_module().name_of(requirement) in chosen, f"{name} needs {requirement}"
    assert len(chosen) < len(pins(requirements_file()))


def test_a_package_missing_in_the_lock_is_an_error_with_instructions(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("no-such-package\n")
    result = subprocess.run(
        [
            sys.executable,
            REQUIREMENTS / "pinned.py",
            REQUIREMENTS / "run.txt",
            tmp_path / "requirements.txt",
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "no-such-package" in result.stderr
    assert "scripts/lock" in result.stderr
