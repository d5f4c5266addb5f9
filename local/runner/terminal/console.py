"""Output of the runner in the terminal."""

import sys
from pathlib import Path
from typing import TextIO

from local.runner.secrets import claim_key_to_show, is_key_generated
from local.runner.system import System

_BANNER = """
Leadline runs: {edge}   (Ctrl-C stops everything)

{key}  create    curl -i {edge}/users{auth} -H 'Content-Type: application/json' \\
              -d '{{"full_name": "Иван Иванов", "phone": "+77001112233"}}'
  read      curl {edge}/users/1{auth}
  update    curl -X PATCH {edge}/users/1{auth} -H 'Content-Type: application/json' \\
              -d '{{"phone": "+77009998877"}}'
  move      curl -X POST {edge}/users/1/move{auth} -H 'Content-Type: application/json' \\
              -d '{{"stage": "IN_PROCESS"}}'
  rejected  curl -i {edge}/users{auth} -H 'Content-Type: application/json' \\
              -d '{{"full_name": "Без Телефона"}}'

  console   {edge}/console   users, queues, the portal: why is somebody not in Bitrix24?
  API page  {edge}/docs
{portal}
  commands  {leadline} status   (in another terminal; --help lists all; on your PATH: docs/cli.md)
  health    curl {edge}/healthz
  faas-cli  faas-cli login -g {edge} -u admin --password-stdin < {password}
{management}  logs      make logs   (all of {logs}; here: each finished event, and problems)
"""
_AUTHORIZATION = ' -H "Authorization: Bearer $KEY"'


class Console:
    """Prints steps, the banner and log lines; in colours only on a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.has_colours = out.isatty()

    def step(self, text: str) -> None:
        """One step of starting or stopping."""
        self.line(f"· {text}")

    def error(self, text: str) -> None:
        """Print an error to stderr, a sentence."""
        sys.stderr.write(f"leadline: {text}\n")
        sys.stderr.flush()

    def banner(self, system: System, failing: list[str]) -> None:
        """Print the addresses, and commands to try."""
        servers = system.servers
        if servers.bitrix24:
            leads = f"{servers.bitrix24.url}/_emulator/leads"
            portal = f"  leads     curl {leads}   (board: {servers.bitrix24.url})"
        else:
            portal = f"  leads     in your portal, {servers.bitrix24_origin()}"
        management = ""
        if servers.rabbitmq:
            password_file = system.state.root / "passwords" / "rabbitmq"
            url = servers.rabbitmq.management_url
            management = f"  RabbitMQ  {url}   (user leadline, password in {password_file})\n"
        self.line(
            _BANNER.format(
                edge=system.edge_url,
                key=_key_line(system),
                auth=_AUTHORIZATION if system.requires_keys else "",
                portal=portal,
                management=management,
                leadline=_command_line(),
                logs=system.state.logs,
                password=system.state.root / "passwords" / "gateway",
            )
        )
        self._print_key(system)
        if failing:
            self.error(f"not working yet: {', '.join(failing)}; see {system.state.logs}")

    def _print_key(self, system: System) -> None:
        """Print the generated key, once; warn if a real portal can be written to without a key."""
        if system.requires_keys:
            key = claim_key_to_show(system.state)
            if key:
                self.line(f"The API key, shown only once: {key}\n")
        elif not system.servers.is_emulated:
            origin = system.servers.bitrix24_origin()
            self.error(f"LEADLINE_AUTH=off: every program on this machine may write to {origin}")

    def line(self, text: str) -> None:
        """Print one line unchanged."""
        self._out.write(text + "\n")
        self._out.flush()


def _command_line() -> str:
    """How to call the command line of this checkout from here."""
    program = Path(sys.prefix) / "bin" / "leadline"
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)


def _key_line(system: System) -> str:
    """The line that sets KEY in a shell; "" if no key is required."""
    if not system.requires_keys:
        return ""
    file = system.secrets / "api-keys"
    key = (
        f"KEY=$(cut -d: -f3 {file})" if is_key_generated() else f"KEY=…   (one of those in {file})"
    )
    return f"  key       {key}\n"
