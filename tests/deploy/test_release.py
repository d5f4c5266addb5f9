"""`make release-check` reports what would be released, and what is missing."""

import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import leadline
from local import release, stack
from tests.deploy.build_contexts import copy
from tests.deploy.packages import REQUIREMENTS

CHECKOUT = Path(__file__).parents[2]
VERSION = leadline.__version__
#: A program that records its arguments; as `docker` it also writes an image's digest.
_RECORDER = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
name, words = Path(sys.argv[0]).name, sys.argv[1:]
with open(os.environ["CALLED"], "a") as file:
    file.write(json.dumps([name, *words]) + "\\n")
if "--metadata-file" in words:
    written = Path(words[words.index("--metadata-file") + 1])
    written.write_text('{{"containerimage.digest": "sha256:ab"}}')
"""
_AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(root: Path, *words: str) -> None:
    command = ("git", "-C", str(root), *_AUTHOR, *words)
    subprocess.run(command, check=True, capture_output=True)


def change(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert old in text
    (root / name).write_text(text.replace(old, new), encoding="utf-8")


def check(root: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    result = subprocess.run(
        [sys.executable, "-m", "local.release", "check", *words],
        cwd=root,
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout + result.stderr


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of one commit, which can be released."""
    root = tmp_path_factory.mktemp("repository")
    copy(root)
    changelog = root / release.CHANGELOG
    text = changelog.read_text(encoding="utf-8")
    if f"\n## {VERSION} " not in text:
        text = text.replace("## Unreleased", f"## Unreleased\n\n## {VERSION} - 2026-12-01", 1)
        changelog.write_text(text, encoding="utf-8")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "All of it")
    return root


@pytest.fixture
def ready(repository: Path, tmp_path: Path) -> Path:
    """A checkout that can be released."""
    git(tmp_path, "clone", "--quiet", str(repository), ".")
    return tmp_path


def test_a_release_names_its_version_changelog_package_and_images(ready: Path) -> None:
    code, output = check(ready, f"v{VERSION}")
    assert (code, "MISSING" in output) == (0, False), output
    assert f"Leadline {VERSION}, by the tag v{VERSION}" in output
    assert re.search(r"changelog +\d+ entries of 20\d\d-\d\d-\d\d", output)
    images = re.findall(r"image +(\S+)", output)
    files = ("stack.yml", "deploy/processes/stack.yml")
    functions = [
        function for file in files for function in stack.read(ready / file, {}).functions.values()
    ]
    assert {*images} == {function.image for function in functions} | {
        f"ghcr.io/leadline/local:{VERSION}"
    }


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("pyproject.toml", f'version = "{VERSION}"', 'version = "9.9.9"', f"says {VERSION}"),
        ("leadline/__init__.py", VERSION, "9.9.9", "leadline/__init__.py says 9.9.9"),
        ("template/leadline/Dockerfile", VERSION, "9.9.9", "Dockerfile says 9.9.9"),
        ("stack.yml", "create-user:${TAG:-", "create-user:${TAG:-9", "stack.yml says 9"),
        ("deploy/helm/leadline/Chart.yaml", VERSION, "9.9.9", "Chart.yaml says 9.9.9"),
        ("CHANGELOG.md", f"## {VERSION} - 20", "## 0.0.1 - 20", f"`## {VERSION} - YYYY-MM-DD`"),
        ("CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n- More.\n", "under Unreleased"),
        ("local/docker-compose.yml", "/openapi:$", "/other:$", "does not build the image openapi"),
    ],
)
def test_the_release_check_names_what_is_missing(
    ready: Path, name: str, old: str, new: str, problem: str
) -> None:
    change(ready, name, old, new)
    git(ready, "commit", "--all", "--quiet", "--message", "A mistake")
    code, output = check(ready)
    assert code == 1
    assert problem in output, output


def test_only_a_committed_state_under_a_new_version_is_released(ready: Path) -> None:
    (ready / "new.txt").write_text("not committed")
    code, output = check(ready)
    assert (code, "not committed: ?? new.txt\n" in output) == (1, True), output
    git(ready, "tag", f"v{VERSION}")
    (ready / "new.txt").unlink()
    assert check(ready)[0] == 0
    git(ready, "commit", "--allow-empty", "--quiet", "--message", "Later")
    code, output = check(ready)
    assert (code, "is at another commit" in output) == (1, True)
    assert "the tag v0 is not that of" in check(ready, "v0")[1]


def test_the_notes_are_the_versions_section_of_the_changelog(ready: Path) -> None:
    changelog = (ready / release.CHANGELOG).read_text(encoding="utf-8")
    (ready / release.CHANGELOG).write_text(f"{changelog}\n## 0.0.1 - 2020-01-01\n\n- Older.\n")
    notes = release.Release.read(ready, {}).notes
    assert notes.startswith("### Added\n")
    assert "- The HTTP API" in notes
    assert "Older" not in notes


def test_the_package_requires_what_the_processes_and_the_emulator_need() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = (REQUIREMENTS / "base.txt", CHECKOUT / "deploy/processes/requirements.txt")
    lines = [line for path in lists for line in path.read_text(encoding="utf-8").splitlines()]
    needed = {line for line in lines if line and not line.startswith("#")}
    assert {*project["dependencies"]} == needed | {"aiohttp"}
    assert {*project["optional-dependencies"]["otel"]} == {
        line
        for line in (REQUIREMENTS / "otel.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    }


def test_the_script_builds_what_is_released(tmp_path: Path) -> None:
    """Runs it with a docker and a cosign that only record their arguments."""
    called = tmp_path / "called"
    for name in ("docker", "cosign"):
        program = tmp_path / name
        program.write_text(_RECORDER)
        program.chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLED": str(called),
        "PYTHONPATH": str(CHECKOUT),
        "REGISTRY": "ghcr.io",
        "OWNER": "acme",
        "TAG": "1.2.3",
        "SIGN": "1",
    }
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    (root / "scripts/images").write_text((CHECKOUT / "scripts/images").read_text())
    (root / "local").symlink_to(CHECKOUT / "local")
    (root / ".venv/bin").mkdir(parents=True)
    # As a link, Python would not find the packages of its environment.
    python = root / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    git(root, "init", "--quiet")
    git(root, "commit", "--allow-empty", "--quiet", "--message", "Empty")
    result = subprocess.run(
        ["bash", root / "scripts/images"],  # noqa: S607 - found on the PATH
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    images = release.Release.read(CHECKOUT, {**env, "TAG": VERSION}).images
    pushed = [f"{image.repository}@sha256:ab" for image in images]
    assert result.stdout.splitlines() == pushed
    commands = [json.loads(line) for line in called.read_text().splitlines()]
    builds = [words for words in commands if words[:3] == ["docker", "buildx", "build"]]
    # Twelve functions, the processes and the local run.
    assert len(builds) == len(pushed) == 14
    for words, image in zip(builds, images, strict=True):
        assert {"--push", "--sbom=true", "--provenance=mode=max"} <= {*words}
        options = [*itertools.pairwise(words)]
        assert ("--platform", "linux/amd64,linux/arm64") in options
        assert ("--tag", f"{image.repository}:1.2.3") in options
        assert ("--build-arg", "VERSION=1.2.3") in options
        assert ("--file", "template/leadline/Dockerfile") in options
        assert words[-1] == "."
    targets = re.findall(r"FUNCTION_TARGET=(\w+)", called.read_text())
    assert {name.replace("_", "-") for name in targets} == {
        image.repository.rpartition("/")[2] for image in images
    }
    assert commands[-1] == ["cosign", "sign", "--yes", "--recursive", *pushed]
