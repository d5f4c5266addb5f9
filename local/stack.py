"""Reads stack.yml strictly: what faas-cli ignores or the Community Edition refuses is an error.

faas-cli ignores unknown keys, and reports most other mistakes only at deployment.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

#: A DNS label, as Kubernetes and the gateway require.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
#: https://docs.openfaas.com/openfaas-pro/comparison/ and faas-netes' own checks.
FUNCTIONS_MAX = 15
REPLICAS_MAX = 5
_FREE_LABELS = frozenset({"com.openfaas.scale.min", "com.openfaas.scale.max"})
_PAID_ANNOTATIONS = ("com.openfaas.health.", "com.openfaas.ready.")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Resources(_Strict):
    """Memory and CPU, both required: for a missing one faas-cli would write an empty quantity."""

    memory: Annotated[str, StringConstraints(pattern=r"^\d+(Mi|Gi)$")]
    cpu: Annotated[str, StringConstraints(pattern=r"^\d+m?$")]


class Function(_Strict):
    """One function of stack.yml."""

    lang: Literal["leadline"]
    handler: str
    image: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.:-]+(/[a-z0-9._-]+){2,}:[\w.-]+$")]
    build_args: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
    environment_file: list[str] = Field(default_factory=list)
    secrets: list[Name] = Field(default_factory=list)
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    requests: Resources | None = None
    limits: Resources | None = None
    readonly_root_filesystem: bool = False

    @model_validator(mode="after")
    def _check_community_edition(self) -> "Function":
        paid = self.labels.keys() - _FREE_LABELS
        paid |= {name for name in self.annotations if name.startswith(_PAID_ANNOTATIONS)}
        if paid:
            raise ValueError(f"not supported by the Community Edition: {', '.join(sorted(paid))}")
        if any(int(count) > REPLICAS_MAX for count in self.labels.values()):
            raise ValueError(f"the Community Edition runs {REPLICAS_MAX} replicas at most")
        if "," in self.annotations.get("topic", ""):
            raise ValueError("the Community Edition supports one topic for each function")
        return self

    @property
    def replicas_max(self) -> int:
        """The maximum number of replicas."""
        return int(self.labels.get("com.openfaas.scale.max", REPLICAS_MAX))

    def all_environment(self, root: Path) -> dict[str, str]:
        """The variables, inline and from files; files win, as in faas-cli."""
        variables = dict(self.environment)
        for name in self.environment_file:
            variables |= _Environment.model_validate(
                yaml.safe_load((root / name).read_text())
            ).values
        return variables


class _Environment(_Strict):
    values: dict[str, str] = Field(alias="environment")


class Provider(_Strict):
    """Where it is deployed."""

    name: Literal["openfaas"]
    gateway: str


class Configuration(_Strict):
    """What faas-cli copies into each function's build folder."""

    copied: list[str] = Field(alias="copy")


class Stack(_Strict):
    """The whole file."""

    version: Literal["1.0"]
    provider: Provider
    configuration: Configuration
    functions: dict[Name, Function] = Field(max_length=FUNCTIONS_MAX)


def read(path: Path, environment: Mapping[str, str] = os.environ) -> Stack:
    """The stack in a file, with `${NAME:-default}` expanded as faas-cli does, in comments, too.

    Raises:
        pydantic.ValidationError: a key is unknown, or OpenFaaS does not accept a value.
    """
    text = expand_variables(path.read_text("utf-8"), environment)
    return Stack.model_validate(yaml.safe_load(text))


def expand_variables(text: str, environment: Mapping[str, str]) -> str:
    """The text with `${NAME:-default}` replaced by the variable's value or the default."""
    return _VARIABLE.sub(lambda match: environment.get(match[1]) or match[2] or "", text)
