"""FunctionDeployment of the OpenFaaS API, validated."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

#: A label of RFC 1123, as Kubernetes requires for names of functions.
_FUNCTION = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
#: A subdomain of RFC 1123, as Kubernetes requires for names of secrets.
_SECRETS_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
#: Linux allows no zero byte in a value.
_VALUE = r"^[^\x00]*$"

SecretName = Annotated[str, Field(pattern=_SECRETS_NAME, max_length=253)]
#: faas-cli sends null for what stack.yml lacks.
_NullAsEmptyMap = BeforeValidator(lambda value: {} if value is None else value)
_NullAsEmptyList = BeforeValidator(lambda value: [] if value is None else value)
_StringMap = Annotated[dict[str, str], _NullAsEmptyMap]
_Variables = Annotated[
    dict[Annotated[str, Field(pattern=_VARIABLE)], Annotated[str, Field(pattern=_VALUE)]],
    _NullAsEmptyMap,
]


class Model(BaseModel):
    """Camel-case names, and no values in error texts; unknown fields are ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, hide_input_in_errors=True
    )


class Resources(Model):
    """Kubernetes quantities."""

    memory: str | None = None
    cpu: str | None = None


class Deployment(Model):
    """The deployment of one function."""

    service: str = Field(pattern=_FUNCTION)
    image: str = Field(min_length=1)
    namespace: str = ""
    env_process: str | None = None
    env_vars: _Variables = Field(default_factory=dict)
    constraints: Annotated[list[str], _NullAsEmptyList] = Field(default_factory=list)
    secrets: Annotated[list[SecretName], _NullAsEmptyList] = Field(default_factory=list)
    labels: _StringMap = Field(default_factory=dict)
    annotations: _StringMap = Field(default_factory=dict)
    limits: Resources | None = None
    requests: Resources | None = None
    read_only_root_filesystem: bool = False
