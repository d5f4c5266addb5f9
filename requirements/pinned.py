"""`pinned.py LOCK REQUIREMENTS...`: the part of the lock that these requirements need.

pip takes no hashes from a constraints file (-c) for packages that are not pinned in the
requirements themselves, so what a function needs is picked out of the lock instead: the packages it
names and, by the lock's `# via` notes, all packages that they require. pip then checks
the hashes, and that nothing is missing. Runs during the image's build: standard library only.
"""

import re
import sys
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def pinned(lock: str, requirements: str) -> str:
    """The lock's entries for these requirements and for all they depend on.

    Raises:
        KeyError: a requirement is not in the lock.
    """
    entries = {name_of(entry): entry for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", lock)[1:]}
    wanted = [name_of(line) for line in requirements.splitlines() if _NAME.match(line)]
    entries_needed = {name: entries[name] for name in wanted}
    grew = True
    while grew:
        more = {name for name, entry in entries.items() if _parents(entry) & entries_needed.keys()}
        grew = not more <= entries_needed.keys()
        entries_needed |= {name: entries[name] for name in more}
    return "".join(entries_needed[name] for name in sorted(entries_needed))


def name_of(line: str) -> str:
    """The package's name in its normal form (PEP 503)."""
    match = _NAME.match(line)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def _parents(entry: str) -> set[str]:
    """What the lock says the package came in through."""
    notes = re.findall(r"(?m)^ +#(?: via)? +(\S+)$", entry)
    return {name_of(note) for note in notes}


if __name__ == "__main__":
    lock_text, *requirement_texts = (Path(name).read_text("utf-8") for name in sys.argv[1:])
    try:
        sys.stdout.write(pinned(lock_text, "\n".join(requirement_texts)))
    except KeyError as missing:
        sys.exit(f"{missing} is not in the lock: add it to requirements/run.in, run scripts/lock")
