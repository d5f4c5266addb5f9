"""`python -m local.release check [TAG] | notes`: a release of this checkout.

`check` prints it and fails if something is missing; `notes` prints its part of the changelog.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from local import stack
from local.images import COMPOSE, Image, images

CHANGELOG = "CHANGELOG.md"
WORKFLOW = ".github/workflows/release.yml"
_STACKS = ("stack.yml", "deploy/processes/stack.yml")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
#: Further places of the version besides pyproject.toml: files, and a pattern that finds it.
_PLACES = (
    ("leadline/__init__.py", r'__version__ = "([^"]+)"'),
    ("template/leadline/Dockerfile", r"ARG VERSION=(\S+)"),
    ("docs/asyncapi.json", r'"version": "([^"]+)"'),
    *((file, r"\$\{TAG:-([^}]+)\}") for file in (*_STACKS, str(COMPOSE))),
    ("local/.env.example", r"(?m)^#TAG=(\S+)"),
    ("deploy/**/kustomization.yaml", r"newTag: (\S+)"),
    ("deploy/**/*.yaml", r"image: ghcr\.io/leadline/[\w-]+:(\S+)"),
    ("deploy/helm/*/Chart.yaml", r"(?m)^(?:version|appVersion): \"?([^\"\s]+)"),
)


@dataclass(frozen=True)
class Release:
    """A release of a checkout."""

    root: Path
    version: str
    #: The body of its section in the changelog; "" if there is none.
    notes: str
    date: str
    images: tuple[Image, ...]

    @classmethod
    def read(cls, root: Path, environment: Mapping[str, str] = os.environ) -> "Release":
        """The release of this checkout; REGISTRY, OWNER and TAG name its images."""
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        version = str(project["project"]["version"])
        date, notes = _section((root / CHANGELOG).read_text(encoding="utf-8"), version)
        return cls(root, version, notes, date, tuple(images(root, environment)))

    @property
    def tag(self) -> str:
        """The tag that starts the release."""
        return f"v{self.version}"

    def problems(self, tag: str | None) -> Iterator[str]:
        """Everything that is missing; `tag` is the one that was pushed, if any."""
        if not _VERSION.fullmatch(self.version):
            yield f"{self.version} is not a version of three numbers"
        if tag is not None and tag != self.tag:
            yield f"the tag {tag} is not that of version {self.version}"
        yield from self._version_problems()
        yield from self._changelog_problems()
        yield from self._image_problems()
        yield from self._git_problems()
        if not (self.root / WORKFLOW).exists():
            yield f"there is no {WORKFLOW}"

    def _version_problems(self) -> Iterator[str]:
        for pattern, expression in _PLACES:
            for path in sorted(self.root.glob(pattern)):
                versions = set(re.findall(expression, path.read_text(encoding="utf-8")))
                for other in sorted(versions - {self.version}):
                    yield f"{path.relative_to(self.root)} says {other}, not {self.version}"

    def _changelog_problems(self) -> Iterator[str]:
        if not self.notes:
            yield f"{CHANGELOG} has no entries under `## {self.version} - YYYY-MM-DD`"
        elif not self.date:
            yield f"{CHANGELOG}: the heading of {self.version} has no date"
        if _section((self.root / CHANGELOG).read_text(encoding="utf-8"), "Unreleased")[1]:
            yield f"{CHANGELOG} has entries under Unreleased: move them to {self.version}"

    def _image_problems(self) -> Iterator[str]:
        names = {image.repository.rpartition("/")[2] for image in self.images}
        for file in _STACKS:
            for name in stack.read(self.root / file, environment={}).functions:
                if name not in names:
                    yield f"{COMPOSE} does not build the image {name} of {file}"

    def _git_problems(self) -> Iterator[str]:
        if changed := _git(self.root, "status", "--porcelain").splitlines():
            and_more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            yield f"not committed: {changed[0].strip()}{and_more}"
        tagged = _git(self.root, "rev-parse", "--quiet", "--verify", f"{self.tag}^{{commit}}")
        if tagged and tagged != _git(self.root, "rev-parse", "HEAD"):
            yield f"the tag {self.tag} is at another commit: choose a new version"

    def summary(self) -> str:
        """What is released, for people."""
        entries = self.notes.count("\n- ") + self.notes.startswith("- ")
        return "\n".join(
            [
                f"Leadline {self.version}, by the tag {self.tag}",
                f"  commit     {_git(self.root, 'log', '-1', '--format=%h %s')}",
                f"  changelog  {entries} entries{f' of {self.date}' if self.date else ''}",
                f"  package    leadline-{self.version}-py3-none-any.whl",
                f"  chart      leadline-{self.version}.tgz",
                *(f"  image      {image.reference}" for image in self.images),
            ]
        )


def _section(changelog: str, title: str) -> tuple[str, str]:
    """Date and body of a section of the changelog; both "" if there is none."""
    heading = rf"(?m)^## \[?{re.escape(title)}\]?(?: - (\d{{4}}-\d\d-\d\d))?$"
    match = re.search(heading, changelog)
    if not match:
        return "", ""
    return match[1] or "", re.split(r"(?m)^## ", changelog[match.end() :])[0].strip()


def _git(root: Path, *words: str) -> str:
    """The output of a git command; "" if it fails."""
    command = ("git", "-C", str(root), *words)
    result = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - words of our own
    return result.stdout.strip()


def main() -> int:
    """Print the release or its notes; returns the exit code, 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m local.release", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("check").add_argument("tag", nargs="?")
    verbs.add_parser("notes")
    options = parser.parse_args()
    release = Release.read(Path())
    if options.verb == "notes":
        sys.stdout.write(release.notes + "\n")
        return 0
    sys.stdout.write(release.summary() + "\n")
    problems = list(release.problems(options.tag))
    sys.stdout.write("".join(f"  MISSING    {problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
