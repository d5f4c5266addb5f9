"""`leadline mapping`: check the field map against the portal, and write a first one."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from leadline.cli.output import FINDINGS, Json, print_json, print_line, print_table
from leadline.errors import BadConfiguration
from leadline.mapping import draft, file, portal_fields
from leadline.mapping.field_map import FieldMap
from leadline.mapping.portal_fields import PortalField
from leadline.settings import settings
from leadline.sync.fields import portal_reading
from leadline.sync.reconcile import throttled_reads

app = typer.Typer(no_args_is_help=True, help="The field map: check it, write a first one.")

_FILE = typer.Argument(help="The map; without it, that of LEADLINE_MAPPING.", show_default=False)


@app.callback()
def mapping() -> None:
    """The field map: check it, write a first one."""


@app.command()
def check(
    path: Annotated[Path | None, _FILE] = None,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Check only the file.")] = False,
    json: Json = False,
) -> None:
    """Check the map's file, and compare it with the fields of the portal's leads.

    Names what the portal lacks, holds in another type, has other values for, or requires. Exit
    code 1: the portal would refuse something. Exit code 3: the file itself has a mistake.

    Examples:
        leadline mapping check
        leadline mapping check leadline.toml --offline
    """
    map_ = file.read(_map_path(path))
    misfits = [] if offline else portal_fields.misfits(map_, read_portal(map_))
    if json:
        misfits_json = [
            {"field": misfit.field, "lead": misfit.lead, "problem": misfit.problem}
            for misfit in misfits
        ]
        print_json({"fields": len(map_.fields), "misfits": misfits_json})
    elif misfits:
        print_table(
            ("field", "lead", "problem"),
            [(misfit.field or "-", misfit.lead, misfit.problem) for misfit in misfits],
        )
    else:
        print_line(f"{len(map_.fields)} fields, {len(map_.constants)} constants: all fits")
    if misfits:
        raise typer.Exit(FINDINGS)


@app.command()
def init(
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; else stdout.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a first map from the fields of the portal's leads, with a comment on each.

    What the portal requires is active, all the rest is commented out. An existing file stays.
    --json prints the portal's fields instead.

    Examples:
        leadline mapping init
        leadline mapping init --output leadline.toml
    """
    portal = read_portal()
    if json:
        print_json([asdict(portal_field) for portal_field in portal.values()])
        return
    text = draft.text(portal)
    if output is None:
        print_line(text)
        return
    try:
        with output.open("x", encoding="utf-8") as map_file:
            map_file.write(text)
    except OSError as error:
        raise BadConfiguration(f"{output} can't be written: {error.strerror}") from None


def read_portal(map_: FieldMap | None = None) -> dict[str, PortalField]:
    """The fields of the portal's leads, with the values of their lists; see `portal_reading`.

    Raises:
        BitrixError: the portal rejects the call.
        BadConfiguration, QueueDown: as `throttled_reads.read_all`.
    """
    return portal_reading.read(throttled_reads.read_all, map_)


def _map_path(path: Path | None) -> Path:
    if path is None and not settings().mapping:
        raise BadConfiguration("name a file, or set LEADLINE_MAPPING")
    return path or Path(settings().mapping)
