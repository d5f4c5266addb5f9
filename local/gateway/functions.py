"""The functions served, with their addresses: the configured ones, except removed ones."""

from collections import Counter

from local.deployments import Deployments
from local.gateway.config import ConfigFile


class Functions:
    """Functions by name, and the number of their calls."""

    def __init__(self, config: ConfigFile, deployments: Deployments | None = None) -> None:
        self._config = config
        self._deployments = deployments
        self._removed = {name for name in self.configured if self._is_removed(name)}
        #: Calls through the edge since it started, by function.
        self.calls: Counter[str] = Counter()

    @property
    def configured(self) -> dict[str, str]:
        """Name and address of every function, including removed ones."""
        return self._config.current.functions

    @property
    def served(self) -> dict[str, str]:
        """Name and address of every function that can be called."""
        return {name: url for name, url in self.configured.items() if name not in self._removed}

    def address(self, name: str) -> str | None:
        """The address of this function; None if it is not served."""
        return None if name in self._removed else self.configured.get(name)

    def refresh(self, name: str) -> None:
        """Update whether this function is served, after it was deployed or removed."""
        if self._is_removed(name):
            self._removed.add(name)
        else:
            self._removed.discard(name)

    def _is_removed(self, name: str) -> bool:
        return self._deployments is not None and self._deployments.is_removed(name)
