"""The field map of this process, read at its start and again when the file has changed.

A process does not start with an invalid map. If the file becomes invalid later, the last good map
stays in use; `defect` returns the mistake, for doctor and alerts.
"""

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from leadline.errors import BadConfiguration
from leadline.process import per_process, start_check
from leadline.settings import settings

if TYPE_CHECKING:
    from leadline.mapping.field_map import FieldMap

log = structlog.get_logger()

#: How often the file is checked for changes.
CHECK_EVERY_S = 2.0

#: How long after a process has read a new map the relay has compared it with the portal, at most.
NEW_S = 60.0

#: The file's version: its device and inode, its size and when it was modified.
_Version = tuple[int, int, int, int]


class _MapFile:
    """The map's file, and the last valid map in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._version = _version(path)
        self._check_at = time.monotonic() + CHECK_EVERY_S
        # Raises BadConfiguration: no version of the file was valid yet.
        self.map = _read(path)
        self.read_at = time.monotonic()
        self.defect: str | None = None

    def current(self) -> "FieldMap":
        """The map, read again if the file has changed."""
        if time.monotonic() >= self._check_at and self._lock.acquire(blocking=False):
            try:
                self._check_at = time.monotonic() + CHECK_EVERY_S
                self._read_if_changed()
            finally:
                self._lock.release()
        return self.map

    def _read_if_changed(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version
        try:
            self.map = _read(self._path)
        except BadConfiguration as error:
            self.defect = str(error)
        else:
            self.defect = None
            self.read_at = time.monotonic()
            log.info("field map read", fields=len(self.map.fields))
            return
        # The text quotes nothing but the map's file, so it contains no personal data.
        log.error("field map invalid, last good one stays in use", mistake=self.defect)


def _read(path: Path) -> "FieldMap":
    from leadline.mapping import file  # noqa: PLC0415 - cold start: without a map, nothing needs its models

    return file.read(path)


def _version(path: Path) -> _Version | None:
    """The version of this file; None if there is no such file."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - as in runtime/secrets.py
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


@per_process
def _map_file() -> _MapFile | None:
    return _MapFile(Path(settings().mapping)) if settings().mapping else None


def field_map() -> "FieldMap | None":
    """The map; None if there is none.

    Raises:
        BadConfiguration: the file can't be read or is invalid, and no earlier version was valid.
    """
    map_file = _map_file()
    return None if map_file is None else map_file.current()


def is_new() -> bool:
    """Whether this process has read the map so recently that the portal may not be compared yet."""
    map_file = _map_file()
    return map_file is not None and time.monotonic() - map_file.read_at < NEW_S


def defect() -> str | None:
    """The mistake in the file, if the last good map is in use instead."""
    map_file = _map_file()
    return None if map_file is None else map_file.defect


@start_check
def check() -> None:
    """Read the map, so that a process with an invalid one does not start.

    Raises:
        BadConfiguration: as `field_map`.
    """
    field_map()
