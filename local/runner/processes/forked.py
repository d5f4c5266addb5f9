"""Run `python -m MODULE` in a fork, as a new interpreter would."""

import ctypes
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

#: A program's command line is `nice -n NICENESS python -m MODULE`, then the module's arguments.
_NICE = ("nice", "-n")
_MODULE = 5  # the index of MODULE


def module_of(argv: Sequence[str]) -> str | None:
    """The module that this command runs with our own interpreter, if it does."""
    python = (sys.executable, "-m")
    is_ours = tuple(argv[:2]) == _NICE and tuple(argv[3:_MODULE]) == python
    return argv[_MODULE] if is_ours else None


def run(module: str, argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Become this program: its environment, signals, arguments and exit code.

    The frames of the caller keep the parent's objects alive: if one closed its descriptor now, it
    would close one of the program's.
    """
    os.nice(int(argv[len(_NICE)]))
    os.environ.clear()
    os.environ.update(env)
    _reset_signals()
    sys.argv = [module, *argv[_MODULE + 1 :]]
    sys.path[0] = str(Path.cwd())
    _set_process_title(argv[len(_NICE) + 1 :])
    # As the interpreter ends: threads are joined, exit handlers run, output is flushed.
    ctypes.pythonapi.Py_Exit(ctypes.c_int(_exit_code(module)))
    raise AssertionError  # never reached


def _exit_code(module: str) -> int:
    """Run the module, and translate how it ends as the interpreter does."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException:  # noqa: BLE001 - the edge of the process
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _reset_signals() -> None:
    """The handlers of a new interpreter: execve would reset supervisord's, a fork keeps them."""
    for signal_number in signal.valid_signals():
        if callable(signal.getsignal(signal_number)):
            signal.signal(signal_number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _set_process_title(words: Sequence[str]) -> None:
    """Show these arguments in `ps`, cut to the length of supervisord's own (Linux only)."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        # proc(5): arg_start and arg_end are fields 48 and 49; `fields` begins with field 3.
        start, end = (int(field) for field in fields[45:47])
        text = b"\0".join(os.fsencode(word) for word in words)
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            memory.seek(start)
            memory.write(text[: end - start - 1].ljust(end - start, b"\0"))
    except OSError:
        return  # no /proc: `ps` shows supervisord's arguments
