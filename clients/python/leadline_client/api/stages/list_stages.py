from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.stage_list import StageList
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    if_none_match: str | Unset = UNSET,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(if_none_match, Unset):
        headers["If-None-Match"] = if_none_match

    if not isinstance(x_call_id, Unset):
        headers["X-Call-Id"] = x_call_id

    if not isinstance(traceparent, Unset):
        headers["traceparent"] = traceparent

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/stages",
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Any | Problem | StageList | None:
    if response.status_code == 200:
        response_200 = StageList.from_dict(response.json())

        return response_200

    if response.status_code == 304:
        response_304 = cast(Any, None)
        return response_304

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Any | Problem | StageList]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    if_none_match: str | Unset = UNSET,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Response[Any | Problem | StageList]:
    """List the stages that a user can have.

     Read from the portal hourly; before the first time, the stages of a new portal. May be cached for a
    minute.

    Args:
        if_none_match (str | Unset):
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Problem | StageList]
    """

    kwargs = _get_kwargs(
        if_none_match=if_none_match,
        x_call_id=x_call_id,
        traceparent=traceparent,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    if_none_match: str | Unset = UNSET,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Any | Problem | StageList | None:
    """List the stages that a user can have.

     Read from the portal hourly; before the first time, the stages of a new portal. May be cached for a
    minute.

    Args:
        if_none_match (str | Unset):
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Problem | StageList
    """

    return sync_detailed(
        client=client,
        if_none_match=if_none_match,
        x_call_id=x_call_id,
        traceparent=traceparent,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    if_none_match: str | Unset = UNSET,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Response[Any | Problem | StageList]:
    """List the stages that a user can have.

     Read from the portal hourly; before the first time, the stages of a new portal. May be cached for a
    minute.

    Args:
        if_none_match (str | Unset):
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Problem | StageList]
    """

    kwargs = _get_kwargs(
        if_none_match=if_none_match,
        x_call_id=x_call_id,
        traceparent=traceparent,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    if_none_match: str | Unset = UNSET,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Any | Problem | StageList | None:
    """List the stages that a user can have.

     Read from the portal hourly; before the first time, the stages of a new portal. May be cached for a
    minute.

    Args:
        if_none_match (str | Unset):
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Problem | StageList
    """

    return (
        await asyncio_detailed(
            client=client,
            if_none_match=if_none_match,
            x_call_id=x_call_id,
            traceparent=traceparent,
        )
    ).parsed
