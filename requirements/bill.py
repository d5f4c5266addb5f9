"""`bill.py notices|sbom`: what images install, for people who ask for licences or for parts.

Both come from the lock, run.txt, which has every name, version and hash, and from the licence that
each installed package states. `notices` is THIRD-PARTY.md; `sbom` a CycloneDX 1.6 document
(https://cyclonedx.org/docs/1.6/json/) without time or serial number: the same lock, the same text.
"""

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent / "run.txt"
#: Packages that other systems and Pythons need, so that they may be missing here; and those whose
#: metadata tell less than their licence file.
_KNOWN = {
    "async-timeout": "Apache-2.0",
    "colorama": "BSD-3-Clause",
    "protobuf": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "supervisor": "LicenseRef-Repoze",
    "uvloop": "MIT OR Apache-2.0",
}
_HEAD = """\
# Third-party notices

What the images install besides Leadline itself, by the lock `requirements/run.txt`; a function's
image has the part that its `requirements.txt` names. A package brings its licence's text along,
in an image below `/usr/local/lib/python*/site-packages/`, in its `.dist-info`. Python itself and
Debian's packages come with the base image.

Written by `make notices`; a test compares it with the lock.

| package | version | licence |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Package:
    """One entry of the lock."""

    name: str
    version: str
    sha256: tuple[str, ...]

    @property
    def licence(self) -> str:
        """As the package states it: an SPDX expression, or its own words.

        Raises:
            importlib.metadata.PackageNotFoundError: it is not installed, and none of the known.
        """
        if self.name in _KNOWN:
            return _KNOWN[self.name]
        metadata = importlib.metadata.metadata(self.name)
        own = metadata.get("License-Expression") or metadata.get("License") or ""
        if own and "\n" not in own and "://" not in own:
            return str(own)
        classifiers = metadata.get_all("Classifier") or []
        licences = [text for text in classifiers if text.startswith("License")]
        return " OR ".join(text.rpartition(" :: ")[2] for text in licences)


def packages(lock: str) -> Iterator[Package]:
    """The entries of a lock, in its order."""
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", lock)[1:]:
        name, _, rest = entry.partition("==")
        version = re.split(r"[ ;\\\n]", rest, maxsplit=1)[0]
        yield Package(name.partition("[")[0], version, tuple(re.findall("sha256:(\\w{64})", entry)))


def notices(lock: str) -> str:
    """THIRD-PARTY.md."""
    rows = (
        f"| {package.name} | {package.version} | {package.licence} |\n"
        for package in packages(lock)
    )
    return _HEAD + "".join(rows)


def sbom(lock: str, version: str) -> dict[str, Any]:
    """The bill of materials of what the images of this version install."""
    product = {"type": "application", "bom-ref": "leadline", "name": "leadline", "version": version}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": product},
        "components": [_component(package) for package in packages(lock)],
    }


def _component(package: Package) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.name}@{package.version}"
    # A lock has a hash for each file of a package; which of them was installed differs by platform.
    files = [
        {
            "type": "distribution",
            "url": f"https://pypi.org/project/{package.name}/{package.version}/",
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for digest in package.sha256
    ]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "licenses": [{"license": {"name": package.licence}}],
        "externalReferences": files,
    }


def main() -> int:
    """Print the one that was asked for; the exit code."""
    lock = LOCK.read_text("utf-8")
    if sys.argv[1:] == ["notices"]:
        sys.stdout.write(notices(lock))
    elif sys.argv[1:] == ["sbom"]:
        project = (LOCK.parents[1] / "pyproject.toml").read_text("utf-8")
        version = re.findall(r'(?m)^version = "(.+)"$', project)[0]
        sys.stdout.write(json.dumps(sbom(lock, version), indent=1, sort_keys=True) + "\n")
    else:
        sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
