"""The packages of an image, and how to hide all others from a Python process."""

import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
_HIDE = """\
import importlib.abc
import sys

HIDDEN = {hidden!r}


class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Hide())
"""


@cache
def pinned_module() -> ModuleType:
    """requirements/pinned.py, as the image's build runs it."""
    spec = importlib.util.spec_from_file_location("pinned", REQUIREMENTS / "pinned.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def requirements_file(name: str = "run.txt") -> str:
    """A file of requirements/."""
    return (REQUIREMENTS / name).read_text(encoding="utf-8")


def pinned_for(requirements: Path) -> str:
    """The lines of the lock that an image with this list installs."""
    return str(
        pinned_module().pinned(
            requirements_file(), requirements_file("base.txt") + requirements.read_text("utf-8")
        )
    )


def hide_all_but(pinned: str, folder: Path) -> Path:
    """Write files into this folder that hide all other packages; PYTHONPATH must begin with it."""
    pinned_names = {pinned_module().name_of(line) for line in pinned.splitlines() if "==" in line}
    hidden = {
        module
        for module, names in _installed_packages().items()
        if not any(pinned_module().name_of(name) in pinned_names for name in names)
    }
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_HIDE.format(hidden=hidden), encoding="utf-8")
    return folder


@cache
def _installed_packages() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
