"""What a person at the terminal sees."""

import sys
from typing import TextIO

from local.runner.system import System

_BANNER = """
Leadline runs: {edge}   (Ctrl-C stops everything)

  create    curl -i {edge}/users -H 'Content-Type: application/json' \\
              -d '{{"full_name": "Иван Иванов", "phone": "+77001112233"}}'
  read      curl {edge}/users/1
  update    curl -X PATCH {edge}/users/1 -H 'Content-Type: application/json' \\
              -d '{{"phone": "+77009998877"}}'
  move      curl -X POST {edge}/users/1/move -H 'Content-Type: application/json' \\
              -d '{{"stage": "IN_PROCESS"}}'
  rejected  curl -i {edge}/users -H 'Content-Type: application/json' \\
              -d '{{"full_name": "Без Телефона"}}'
{portal}
  health    curl {edge}/healthz
  faas-cli  faas-cli login -g {edge} -u admin --password-stdin < {password}
{management}  logs      {logs}
"""


class Console:
    """Prints steps, the banner and log lines; in colours only on a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.has_colours = out.isatty()

    def step(self, text: str) -> None:
        """One thing done while starting or stopping."""
        self.line(f"· {text}")

    def error(self, text: str) -> None:
        """What went wrong, in a sentence."""
        sys.stderr.write(f"leadline: {text}\n")
        sys.stderr.flush()

    def banner(self, system: System, ailing: list[str]) -> None:
        """What runs where, and what to try."""
        servers = system.servers
        if servers.bitrix24:
            leads = f"{servers.bitrix24.url}/_emulator/leads"
            portal = f"  leads     curl {leads}   (board: {servers.bitrix24.url})"
        else:
            portal = f"  leads     in your portal, {servers.bitrix24_origin()}"
        management = ""
        if servers.rabbitmq:
            key = system.state.root / "passwords" / "rabbitmq"
            url = servers.rabbitmq.management_url
            management = f"  RabbitMQ  {url}   (user leadline, password in {key})\n"
        self.line(
            _BANNER.format(
                edge=system.edge_url,
                portal=portal,
                management=management,
                logs=system.state.logs,
                password=system.state.root / "passwords" / "gateway",
            )
        )
        if ailing:
            self.error(f"not working yet: {', '.join(ailing)}; see {system.state.logs}")

    def line(self, text: str) -> None:
        """One line as it is."""
        self._out.write(text + "\n")
        self._out.flush()
