from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.problem import Problem
    from ..models.user import User


T = TypeVar("T", bound="BatchOutcome")


@_attrs_define
class BatchOutcome:
    """The outcome of a user of a batch: the user if it was accepted, else the problem.

    Attributes:
        status (int): 201: created; 200: changed or unchanged; else as for one user.
        version (int | Unset): As in the ETag of one user.
        user (User | Unset): A user as the writing calls return it.
        problem (Problem | Unset): The problem details of RFC 9457.
    """

    status: int
    version: int | Unset = UNSET
    user: User | Unset = UNSET
    problem: Problem | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        version = self.version

        user: dict[str, Any] | Unset = UNSET
        if not isinstance(self.user, Unset):
            user = self.user.to_dict()

        problem: dict[str, Any] | Unset = UNSET
        if not isinstance(self.problem, Unset):
            problem = self.problem.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "status": status,
            }
        )
        if version is not UNSET:
            field_dict["version"] = version
        if user is not UNSET:
            field_dict["user"] = user
        if problem is not UNSET:
            field_dict["problem"] = problem

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.problem import Problem  # noqa: PLC0415
        from ..models.user import User  # noqa: PLC0415

        d = dict(src_dict)
        status = d.pop("status")

        version = d.pop("version", UNSET)

        _user = d.pop("user", UNSET)
        user: User | Unset
        if isinstance(_user, Unset):
            user = UNSET
        else:
            user = User.from_dict(_user)

        _problem = d.pop("problem", UNSET)
        problem: Problem | Unset
        if isinstance(_problem, Unset):
            problem = UNSET
        else:
            problem = Problem.from_dict(_problem)

        batch_outcome = cls(
            status=status,
            version=version,
            user=user,
            problem=problem,
        )

        return batch_outcome
