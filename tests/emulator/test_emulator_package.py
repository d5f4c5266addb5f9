"""The emulator as a separate package, installed from the tree, with its pytest plugin."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package without its dependencies, which the tests have anyway."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    command += ["--target", str(folder), str(_ROOT / "emulator")]
    subprocess.run(command, check=True, timeout=600, capture_output=True)
    return folder


def test_the_package_has_a_command_and_all_its_files(installed: Path) -> None:
    assert (installed / "bin" / "bitrix24-emulator").exists()
    assert (installed / "emulator" / "board" / "page" / "index.html").exists()
    result = _run(installed, installed, "-m", "emulator", "--help")
    assert "--tls" in result.stdout


def test_the_package_has_the_version_and_build_system_of_leadline() -> None:
    """The package's only dependency is also one of Leadline's."""
    package, leadline = (
        tomllib.loads((_ROOT / folder / "pyproject.toml").read_text())
        for folder in ("emulator", ".")
    )
    assert package["project"]["version"] == leadline["project"]["version"]
    assert package["build-system"] == leadline["build-system"]
    assert set(package["project"]["dependencies"]) <= set(leadline["project"]["dependencies"])


def test_the_readmes_test_passes_with_the_plugin_alone(installed: Path, tmp_path: Path) -> None:
    text = (_ROOT / "emulator" / "README.md").read_text(encoding="utf-8")
    example = text.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "test_example.py").write_text(example, encoding="utf-8")
    # Another plugin of this environment takes seconds to import.
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "--rootdir", ".")
    result = _run(installed, tmp_path, "-m", "pytest", *options, "test_example.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout


def _run(installed: Path, folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
