"""Run programs that refuse root as another user, even in a folder that only root may enter."""

import os
import pwd
import shutil
import subprocess
from functools import cache
from pathlib import Path

_CANDIDATES = ("postgres", "nobody")


@cache
def user_for_servers() -> pwd.struct_passwd | None:
    """The user for programs that refuse root; None if we are not root ourselves."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(users[name] for name in _CANDIDATES if name in users)


def give_ownership(folder: Path) -> None:
    """Make `user_for_servers` the owner of a folder and its content; nothing if we are not root."""
    user = user_for_servers()
    if user is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def command(folder: Path, *words: str) -> tuple[str, ...]:
    """The command, run as `user_for_servers`; setpriv execs, so the pid is the program's."""
    user = user_for_servers()
    if user is None:
        return words
    prefix = _setpriv(user)
    # A checkout below /root: the program may enter closed folders, but has no other right of root.
    if not _can_write(prefix, folder):
        prefix = (*prefix, "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override")
    return (*prefix, "--", *words)


def _setpriv(user: pwd.struct_passwd) -> tuple[str, ...]:
    setpriv = shutil.which("setpriv") or "setpriv"
    return (setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")


def _can_write(prefix: tuple[str, ...], folder: Path) -> bool:
    """Whether a program that is started with this prefix reaches the folder and may write in it."""
    probe = (*prefix, "--", "test", "-w", str(folder))
    return subprocess.run(probe, check=False).returncode == 0  # noqa: S603 - our own words
