"""The text of supervisord.conf."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from local.runner.processes.program import Group, Program, StartPhase
from local.runner.state import State

_HEAD = """\
[unix_http_server]
file = {socket}
chmod = 0600

[supervisord]
nodaemon = true
silent = true
logfile = {logs}/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 1
pidfile = {root}/supervisord.pid
childlogdir = {logs}
umask = 077
minfds = 1024
{user}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

# startretries: restart indefinitely.
# autorestart = true: also after exit code 0.
_PROGRAM = """
[program:{name}]
command = nice -n {niceness} {command}
directory = {folder}
environment = {environment}
autostart = {autostart}
autorestart = true
startsecs = 1
startretries = 1000000
stopsignal = {stop_signal}
stopwaitsecs = {stop_wait_s}
stopasgroup = false
killasgroup = true
redirect_stderr = true
stdout_logfile = {logs}/{name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 2
"""

_GROUP = """
[group:{label}]
programs = {names}
priority = {order}
"""


def socket(state: State) -> Path:
    """Where supervisord listens."""
    return state.alias() / "supervisor.sock"


def configuration(programs: Iterable[Program], state: State, socket: Path) -> str:
    """The whole configuration: groups in order, logs rotated by size, restarts without limit."""
    all_programs = list(programs)
    paths = {"logs": _escaped(state.logs), "root": _escaped(state.root), "socket": _escaped(socket)}
    user = "user = root" if os.geteuid() == 0 else ""
    sections = [_HEAD.format(user=user, **paths)]
    sections += [_program(program, paths["logs"]) for program in all_programs]
    sections += [_group(group, all_programs) for group in Group]
    return "".join(sections)


def _program(program: Program, logs: str) -> str:
    environment = ",".join(f"{key}={_quoted(value)}" for key, value in program.env.items())
    return _PROGRAM.format(
        name=program.name,
        niceness=program.niceness,
        command=_escaped(shlex.join(program.command)),
        folder=_escaped(program.folder),
        environment=environment,
        autostart="true" if program.phase is StartPhase.SERVERS else "false",
        stop_signal=program.stop_signal,
        stop_wait_s=program.stop_wait_s,
        logs=logs,
    )


def _group(group: Group, programs: list[Program]) -> str:
    names = ",".join(program.name for program in programs if program.group is group)
    return _GROUP.format(label=group.label, names=names, order=group.value) if names else ""


def _escaped(value: object) -> str:
    """The value with % doubled: supervisord expands %(…)s in every value."""
    return str(value).replace("%", "%%")


def _quoted(value: str) -> str:
    # Its parser knows no escapes: quote with the kind of quotes that the value lacks.
    quote = "'" if '"' in value else '"'
    return f"{quote}{_escaped(value)}{quote}"
