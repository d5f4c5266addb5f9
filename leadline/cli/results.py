"""`leadline results`: list endpoints with their undelivered results, and replay results."""

from typing import Annotated

import typer

from leadline.cli.output import FINDINGS, Json, print_json, print_line, print_table
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.errors import InvalidRequest
from leadline.operations import audit
from leadline.results import deliveries, endpoints

_COLUMNS = ("endpoint", "kinds", "waiting", "oldest", "given_up", "unreachable", "since")

app = typer.Typer(no_args_is_help=True, help="Results for other systems: deliveries, replay.")


@app.command("list")
def show_list(*, json: Json = False) -> None:
    """List endpoints with what waits for them; exit code 1 if one is unreachable or gave up.

    Examples:
        leadline results list
        leadline results list --json
    """
    stored = {row["endpoint"]: row for row in deliveries.status()}
    defaults = {"waiting": 0, "given_up": 0, "oldest": None, "unreachable": None, "since": None}
    configured = {endpoint.name: sorted(endpoint.kinds) for endpoint in endpoints.endpoints()}
    rows = [
        {**defaults, **stored.get(name, {}), "endpoint": name, "kinds": configured.get(name)}
        for name in sorted({*configured, *stored})
    ]
    if json:
        print_json({"endpoints": rows})
    else:
        table_rows = [{**row, "kinds": ",".join(row["kinds"] or ())} for row in rows]
        print_table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in table_rows])
    if any(row["unreachable"] or row["given_up"] for row in rows):
        raise typer.Exit(FINDINGS)


@app.command()
def replay(
    endpoint: Annotated[str, typer.Argument(help="The endpoint's name.")],
    *,
    hours: Annotated[float, typer.Option(min=0.01, max=720, help="Results of these hours.")] = 24,
    user: Annotated[int | None, typer.Option(min=1, help="Only results of this user.")] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Deliver results again, also those that were given up. Their ids stay the same.

    Examples:
        leadline results replay crm-form --hours 6
        leadline results replay crm-form --user 42 --yes
    """
    receivers = {receiver.name: receiver for receiver in endpoints.endpoints()}
    if endpoint not in receivers:
        raise InvalidRequest(f"the endpoint is one of {', '.join(sorted(receivers)) or '(none)'}")
    whose = "this user" if user else "every user"
    confirm(f"Deliver results of {whose} of the last {hours:g} hours again?", yes=yes)
    details = {"endpoint": endpoint, "hours": hours, "user_ids": [user] if user else []}
    with audit.recorded("replay results", **details) as record:
        kinds = sorted(receivers[endpoint].kinds)
        number = deliveries.replay(endpoint, kinds, hours * 3600, user)
        record["results"] = number
    print_json({"replayed": number}) if json else print_line(f"to be delivered again: {number}")
