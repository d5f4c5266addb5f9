"""`python -m local.images`: build every image for amd64 and arm64, and push it.

Each is pushed with its bill of materials and provenance, as REGISTRY/OWNER/NAME:TAG. stdout gets
the images by digest, one per line; progress goes to stderr. SOURCE_URL is the repository's address,
for the images' labels.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local import stack

#: The file that builds every image: of the functions, the processes and the local system.
COMPOSE = Path("local/docker-compose.yml")
PLATFORMS = "linux/amd64,linux/arm64"
#: Our own builder: docker's default one supports neither several platforms nor attestations.
_BUILDER = "leadline"
_LABEL = "org.opencontainers.image"


@dataclass(frozen=True)
class Image:
    """An image and how docker compose builds it."""

    #: Registry, owner, name and tag.
    reference: str
    dockerfile: str
    arguments: Mapping[str, str]

    @property
    def repository(self) -> str:
        """The reference without its tag."""
        return self.reference.rpartition(":")[0]

    @property
    def tag(self) -> str:
        """The tag, the version of a release."""
        return self.reference.rpartition(":")[2]


def images(root: Path, environment: Mapping[str, str] = os.environ) -> list[Image]:
    """Every image of this checkout, by name."""
    text = stack.expand_variables((root / COMPOSE).read_text(encoding="utf-8"), environment)
    services: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    built = [
        Image(service["image"], service["build"]["dockerfile"], service["build"]["args"])
        for service in services.values()
        if "build" in service
    ]
    return sorted(built, key=lambda image: image.reference)


def build_command(image: Image, metadata: Path, labels: Mapping[str, str]) -> list[str]:
    """Build and push an image; its digest is in the file `metadata` then."""
    arguments = {**image.arguments, "VERSION": image.tag}
    return [
        *("docker", "buildx", "build", "--builder", _BUILDER, "--push"),
        *("--platform", PLATFORMS, "--sbom=true", "--provenance=mode=max"),
        *("--metadata-file", str(metadata), "--tag", image.reference),
        *("--file", image.dockerfile),
        *(word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")),
        *(word for name, value in labels.items() for word in ("--label", f"{name}={value}")),
        ".",
    ]


def push(image: Image, labels: Mapping[str, str]) -> str:
    """Build and push an image; returns `repository@sha256:…`.

    Raises:
        subprocess.CalledProcessError: it can't be built or pushed.
    """
    metadata = Path("build/image.json")
    _run(*build_command(image, metadata, labels))
    digest = json.loads(metadata.read_text(encoding="utf-8"))["containerimage.digest"]
    return f"{image.repository}@{digest}"


def _ensure_builder() -> None:
    command = ("docker", "buildx", "inspect", _BUILDER)
    inspection = subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - words of our own
    if inspection.returncode != 0:
        _run(*("docker", "buildx", "create", "--name", _BUILDER, "--driver", "docker-container"))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 - words of our own


def main() -> int:
    """Build and push all images; returns the exit code."""
    commit = subprocess.check_output(("git", "rev-parse", "HEAD"), text=True).strip()  # noqa: S607 - found on the PATH
    labels = {f"{_LABEL}.revision": commit}
    if source := os.environ.get("SOURCE_URL"):
        labels[f"{_LABEL}.source"] = source
    Path("build").mkdir(exist_ok=True)
    try:
        _ensure_builder()
        for image in images(Path()):
            sys.stdout.write(push(image, labels) + "\n")
            sys.stdout.flush()
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
