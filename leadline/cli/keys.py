"""`leadline keys`: create, list and revoke the keys of clients and operators.

Keys are stored in a file or a platform's secret, not in the database: a function needs no server
to know its callers. So these commands edit a file, and the platform distributes it.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from leadline.cli.output import (
    FINDINGS,
    Json,
    print_error,
    print_json,
    print_line,
    print_note,
    print_table,
)
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.errors import InvalidRequest
from leadline.operations import audit
from leadline.runtime import secrets
from leadline.runtime.http import api_keys
from leadline.runtime.http.api_keys import Key

_SECRET = "api-keys"  # noqa: S105 - its name

_COLUMNS = ("entry", "name", "prefix", "scopes", "expires", "kept", "trouble")

app = typer.Typer(no_args_is_help=True, help="Keys of clients and operators.")

File = Annotated[
    Path | None, typer.Option(help="File with the secret api-keys; by default the mounted one.")
]


@app.callback()
def keys() -> None:
    """Keys of clients and operators."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its holder, as shown in logs and the audit trail.")],
    *,
    scope: Annotated[
        list[str], typer.Option(help="read, write, operate or erase. May be repeated.")
    ],
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, help="Days until it expires; by default it never does."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="File with the secret api-keys, to append the entry to.")
    ] = None,
    json: Json = False,
) -> None:
    """Create a key: print it once, and its entry for the secret api-keys, which has only its hash.

    Keys with the same name are the same caller, so that a key can be rotated and its holder's
    idempotency keys stay valid.

    Examples:
        leadline keys create crm-form --scope write --days 365
        leadline keys create crm-form --scope read --scope write --file api-keys
    """
    try:
        # An option may also name several scopes, separated by commas.
        key, entry = api_keys.create(name, frozenset(",".join(scope).split(",")), days)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    with audit.recorded("create key", key=name, prefix=api_keys.parse(entry).prefix, scopes=scope):
        if file is not None:
            _write(file, f"{_read(file).rstrip()}\n{entry}\n".lstrip())
    if json:
        print_json({"key": key, "entry": entry})
        return
    print_note("the key, shown only once: give it to its holder")
    print_line(key)
    print_note(f"appended to {file}:" if file else f"the entry for the secret {_SECRET}:")
    print_line(entry)
    if file:
        _print_how_to_distribute(file)


@app.command("list")
def show_list(*, file: File = None, json: Json = False) -> None:
    """List the keys, without the keys themselves. Exit code 1: an entry is invalid or expired.

    Examples:
        leadline keys list
        leadline keys list --file api-keys --json
    """
    keys = [api_keys.parse(entry) for entry in api_keys.entries(_text(file))]
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
        for number, key in enumerate(keys, 1)
    ]
    if json:
        print_json({"keys": rows})
    else:
        print_table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])
    if any(row["trouble"] for row in rows):
        raise typer.Exit(FINDINGS)


@app.command()
def revoke(
    which: Annotated[str, typer.Argument(help="A name or a prefix, as `list` shows it.")],
    *,
    file: File = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove a key's entry from the file. A name removes all its keys; it asks if it has several.

    Examples:
        leadline keys revoke crm-form
        leadline keys revoke ll_pZk0m --file api-keys
    """
    path = file or _mounted()
    if path is None:
        raise InvalidRequest(f"no file {_SECRET} is mounted here: name one with --file")
    lines = _read(path, is_needed=True).splitlines(keepends=True)
    remaining = [line for line in lines if not _matches(line, which)]
    revoked = len(lines) - len(remaining)
    if revoked:
        if revoked > 1:
            confirm(f"Revoke {revoked} keys of {which}?", yes=yes)
        with audit.recorded("revoke key", key=which) as record:
            _write(path, "".join(remaining))
            record["revoked"] = revoked
    print_json({"revoked": revoked}) if json else print_line(f"revoked: {revoked}")
    if not revoked:
        print_error(f"no key has the name or prefix {which}")
        raise typer.Exit(FINDINGS)
    if not json:
        _print_how_to_distribute(path)


def _matches(line: str, which: str) -> bool:
    """Whether this line has the entry of the key with this name or prefix.

    Raises:
        InvalidRequest: the line has that entry, and entries of other keys, too.
    """
    keys = [api_keys.parse(entry) for entry in api_keys.entries(line)]
    matching = [key for key in keys if _has_name(key, which)]
    if matching and len(matching) < len(keys):
        raise InvalidRequest("one line has several keys: put each on its own line")
    return bool(matching)


def _has_name(key: Key, which: str) -> bool:
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
    """Replace the file atomically, since functions may read it at any time; its mode stays."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    new_file = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new_file.touch(mode=0o600)
        new_file.write_text(text, encoding="utf-8")
        new_file.chmod(mode)
        new_file.replace(path)
    except OSError:
        raise InvalidRequest(f"{path} can't be written") from None


def _print_how_to_distribute(path: Path) -> None:
    print_note("A mounted file takes effect at once. Otherwise give it to the platform:")
    print_note(f"  faas-cli secret update {_SECRET} --from-file={path}")
    print_note(
        f"  kubectl -n NAMESPACE create secret generic {_SECRET} --from-file={_SECRET}={path} \\"
    )
    print_note("    --dry-run=client -o yaml | kubectl apply -f -")
