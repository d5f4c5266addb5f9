"""`leadline keys`: make, list and revoke the keys of clients and operators.

Keys live in a file or a platform's secret, not in the database: a function that starts needs no
server to know its callers. So these commands edit a file, and the platform hands it out.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from leadline.cli.output import FOUND, Json, as_json, complain, note, say, table
from leadline.errors import InvalidRequest
from leadline.operations import audit
from leadline.runtime import secrets
from leadline.runtime.http import api_keys
from leadline.runtime.http.api_keys import Key

_SECRET = "api-keys"  # noqa: S105 - its name

_COLUMNS = ("entry", "name", "prefix", "scopes", "expires", "kept", "trouble")

app = typer.Typer(no_args_is_help=True, help="Keys of clients and operators.")

File = Annotated[
    Path | None, typer.Option(help="File with the secret api-keys; else the one mounted here.")
]


@app.callback()
def keys() -> None:
    """Keys of clients and operators."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its holder, as logs and audit trail shall say.")],
    *,
    scope: Annotated[
        list[str], typer.Option(help="read, write or operate: what it opens. May be repeated.")
    ],
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Until it expires; else never.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="File with the secret api-keys, to append the line to.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key: print it once, and the line for the secret api-keys, which holds its hash only.

    A second key of the same name is the same caller: so a key is rotated, and idempotency keys of
    its holder go on to count.
    """
    try:
        key, entry = api_keys.create(name, frozenset(",".join(scope).split(",")), days)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    with audit.recorded("create key", key=name, prefix=api_keys.parse(entry).prefix, scopes=scope):
        if file is not None:
            _write(file, f"{_read(file).rstrip()}\n{entry}\n".lstrip())
    if json:
        as_json({"key": key, "entry": entry})
        return
    note("the key, shown this once: hand it to its holder")
    say(key)
    note(f"appended to {file}:" if file else f"the line for the secret {_SECRET}:")
    say(entry)
    if file:
        _hand_out(file)


@app.command("list")
def show_list(*, file: File = None, json: Json = False) -> None:
    """List the keys, none of them in full. Exit code 1: an entry opens nothing."""
    found = [api_keys.parse(entry) for entry in api_keys.entries(_text(file))]
    rows = [
        {
            "entry": number,
            "name": key.name,
            "prefix": key.prefix,
            "scopes": ",".join(sorted(key.scopes)),
            "expires": key.expires,
            "kept": "plain" if key.is_plain else "hashed",
            "trouble": key.defect or ("it has expired" if key.is_expired else ""),
        }
        for number, key in enumerate(found, 1)
    ]
    if json:
        as_json({"keys": rows})
    else:
        table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])
    if any(row["trouble"] for row in rows):
        raise typer.Exit(FOUND)


@app.command()
def revoke(
    which: Annotated[str, typer.Argument(help="A name, or how a key begins, as `list` shows.")],
    *,
    file: File = None,
    json: Json = False,
) -> None:
    """Take a key's line out of the file. By a name that several keys have: all of them."""
    path = file or _mounted()
    if path is None:
        raise InvalidRequest(f"no file {_SECRET} is mounted here: name it by --file")
    lines = _read(path, is_needed=True).splitlines(keepends=True)
    kept = [line for line in lines if not _is_meant(line, which)]
    revoked = len(lines) - len(kept)
    if revoked:
        with audit.recorded("revoke key", key=which) as done:
            _write(path, "".join(kept))
            done["revoked"] = revoked
    as_json({"revoked": revoked}) if json else say(f"revoked: {revoked}")
    if not revoked:
        complain(f"no key has the name or the beginning {which}")
        raise typer.Exit(FOUND)
    if not json:
        _hand_out(path)


def _is_meant(line: str, which: str) -> bool:
    """Whether this line is that key's.

    Raises:
        InvalidRequest: it is, and holds another key too.
    """
    found = [api_keys.parse(entry) for entry in api_keys.entries(line)]
    meant = [key for key in found if _is(key, which)]
    if meant and len(meant) < len(found):
        raise InvalidRequest("one line holds several keys: give each a line of its own")
    return bool(meant)


def _is(key: Key, which: str) -> bool:
    return bool(which) and which in (key.name, key.prefix)


def _text(file: Path | None) -> str:
    return _read(file, is_needed=True) if file else secrets.get("api-keys") or ""


def _mounted() -> Path | None:
    """The file that this process would read its keys from."""
    folder = Path(os.environ.get("LEADLINE_SECRETS_DIR", secrets.DEFAULT_FOLDER))
    candidates = (folder / _SECRET, folder / _SECRET / _SECRET)
    return next((path for path in candidates if path.is_file()), None)


def _read(path: Path, *, is_needed: bool = False) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if is_needed:
            raise InvalidRequest(f"there is no file {path}") from None
        return ""
    except (OSError, UnicodeDecodeError):
        raise InvalidRequest(f"{path} can't be read") from None


def _write(path: Path, text: str) -> None:
    """Replace the file whole, as functions read it at any moment; its mode stays."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.touch(mode=0o600)
        draft.write_text(text, encoding="utf-8")
        draft.chmod(mode)
        draft.replace(path)
    except OSError:
        raise InvalidRequest(f"{path} can't be written") from None


def _hand_out(path: Path) -> None:
    note("A mounted file counts at once. Elsewhere the platform has to take it over:")
    note(f"  faas-cli secret update {_SECRET} --from-file={path}")
    note(f"  kubectl -n NAMESPACE create secret generic {_SECRET} --from-file={_SECRET}={path} \\")
    note("    --dry-run=client -o yaml | kubectl apply -f -")
