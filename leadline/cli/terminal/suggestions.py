"""What a person may have meant by a word that is no command."""

from collections.abc import Collection
from difflib import get_close_matches

#: Words that people try first, and the command that does it.
_MEANT = {
    "backlog": "status",
    "check": "doctor",
    "compare": "reconcile",
    "console": "open",
    "delete": "erase",
    "diff": "reconcile",
    "errors": "failed",
    "events": "tail",
    "explain": "show",
    "failures": "failed",
    "find": "users",
    "get": "show",
    "health": "doctor",
    "history": "audit",
    "info": "show",
    "list": "users",
    "log": "tail",
    "logs": "tail",
    "ls": "users",
    "pause": "portal pause",
    "queue": "status",
    "resume": "portal resume",
    "retry": "resync",
    "search": "users",
    "send": "resync",
    "stop": "portal pause",
    "sync": "resync",
    "unpause": "portal resume",
    "user": "show",
    "version": "--version",
    "watch": "status --watch",
    "webhooks": "results list",
    "who": "audit --orders",
    "why": "show",
}
#: What a mistyped word must not lead to.
_DANGEROUS = {"apply", "erase", "restore", "restored"}


def suggestion(word: str, commands: Collection[str]) -> str:
    """How to go on after this word, which is no command; "" if nothing comes close."""
    if meant := _MEANT.get(word.lower()):
        return f"Use: leadline {meant}"
    near = get_close_matches(word.lower(), [name for name in commands if name not in _DANGEROUS])
    return f"Did you mean {' or '.join(near)}?" if near else ""
