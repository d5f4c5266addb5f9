"""`python -m local.shrinkwrap [-f stack.yml] [NAME...]`: write build/<name>, without faas-cli.

Equivalent to `faas-cli build --shrinkwrap`: a plain Docker build context for each function. It is
made of the template, with the function's folder and the files of `configuration.copy` in
`function/`.
"""

import argparse
import shutil
import sys
from pathlib import Path

from local.stack import Function, Stack, read

BUILD = Path("build")
_INTO = "function"


def shrinkwrap(stack: Stack, name: str, root: Path) -> Path:
    """Rebuild one function's build folder and return it.

    Raises:
        KeyError: the stack has no such function.
        FileNotFoundError: its template, its folder or something to copy is missing.
    """
    function = stack.functions[name]
    context = root / BUILD / name
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(root / "template" / function.lang, context)
    _overlay(root / function.handler, context / _INTO)
    for copied in stack.configuration.copied:
        _overlay(root / copied, context / _INTO / copied)
    return context


def _overlay(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def build_command(function: Function, context: Path) -> str:
    """The command that builds its image."""
    arguments = [f"--build-arg {key}={value}" for key, value in function.build_args.items()]
    return " ".join(["docker build", "-t", function.image, *arguments, str(context)])


def main() -> int:
    """Write the build folders and print how to build the images; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/shrinkwrap", description=__doc__)
    parser.add_argument("-f", "--yaml", type=Path, default=Path("stack.yml"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
    options = parser.parse_args()
    stack = read(options.yaml)
    unknown = set(options.names) - stack.functions.keys()
    if unknown:
        parser.error(f"{options.yaml} has no {', '.join(sorted(unknown))}")
    for name in options.names or stack.functions:
        context = shrinkwrap(stack, name, Path())
        sys.stdout.write(build_command(stack.functions[name], context) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
