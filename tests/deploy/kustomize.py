"""Renders with kustomize, which kubectl contains."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import Document

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed"
)


@cache
def render(overlay: Path) -> list[Document]:
    """The objects of an overlay."""
    text = subprocess.run(
        ["kubectl", "kustomize", str(overlay)],  # noqa: S607 - found on the PATH
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return list(yaml.load_all(text, yaml.CSafeLoader))
