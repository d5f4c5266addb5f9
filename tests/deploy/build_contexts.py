"""The files of a folder that an image build receives, by the rules of .dockerignore.

https://docs.docker.com/build/concepts/context/#syntax: the last rule that matches a file or a
folder above it decides; `**/` stands for any number of folders, also none.
"""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path, PurePosixPath

CHECKOUT = Path(__file__).parents[2]


@cache
def tracked_files() -> tuple[str, ...]:
    """The files of the repository as they are in the checkout, new ones included."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    result = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True)
    names = filter(None, result.stdout.split("\0"))
    return tuple(name for name in names if (CHECKOUT / name).is_file())


def copy(folder: Path) -> None:
    """Copy the repository's files to this folder, without other files of the checkout."""
    for name in tracked_files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target)


def files_sent(folder: Path, ignore: Path) -> set[str]:
    """The files of this folder that are sent, by their relative paths."""
    rules = _rules(ignore.read_text(encoding="utf-8"))
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in files if _is_sent(PurePosixPath(path), rules)}


def _rules(text: str) -> list[tuple[bool, re.Pattern[str]]]:
    """The rules: whether each includes files, and its pattern."""
    lines = [line.strip() for line in text.splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    return [(line.startswith("!"), _pattern(line.removeprefix("!"))) for line in patterns]


def _pattern(rule: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", rule)
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces))


def _is_sent(path: PurePosixPath, rules: list[tuple[bool, re.Pattern[str]]]) -> bool:
    names = [str(path), *map(str, path.parents[:-1])]
    is_sent = True
    for includes, pattern in rules:
        if any(pattern.fullmatch(name) for name in names):
            is_sent = includes
    return is_sent
