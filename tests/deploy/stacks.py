"""The stacks of the repository: the functions and the other processes."""

from pathlib import Path

from local import stack

_ROOT = Path(__file__).parents[2]
STACK = stack.read(_ROOT / "stack.yml", {})
PROCESSES = stack.read(_ROOT / "deploy/processes/stack.yml", {})
