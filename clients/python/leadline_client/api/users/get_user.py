from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.user_details import UserDetails
from ...types import UNSET, Response, Unset


def _get_kwargs(
    id: int,
    *,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(x_call_id, Unset):
        headers["X-Call-Id"] = x_call_id

    if not isinstance(traceparent, Unset):
        headers["traceparent"] = traceparent

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/users/{id}".format(
            id=quote(str(id), safe=""),
        ),
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Problem | UserDetails | None:
    if response.status_code == 200:
        response_200 = UserDetails.from_dict(response.json())

        return response_200

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    if response.status_code == 410:
        response_410 = Problem.from_dict(response.json())

        return response_410

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Problem | UserDetails]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    id: int,
    *,
    client: AuthenticatedClient,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Response[Problem | UserDetails]:
    """Show a user and its sync status.

     With the last ten writes of the last 30 days.

    Args:
        id (int):
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | UserDetails]
    """

    kwargs = _get_kwargs(
        id=id,
        x_call_id=x_call_id,
        traceparent=traceparent,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    id: int,
    *,
    client: AuthenticatedClient,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Problem | UserDetails | None:
    """Show a user and its sync status.

     With the last ten writes of the last 30 days.

    Args:
        id (int):
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | UserDetails
    """

    return sync_detailed(
        id=id,
        client=client,
        x_call_id=x_call_id,
        traceparent=traceparent,
    ).parsed


async def asyncio_detailed(
    id: int,
    *,
    client: AuthenticatedClient,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Response[Problem | UserDetails]:
    """Show a user and its sync status.

     With the last ten writes of the last 30 days.

    Args:
        id (int):
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | UserDetails]
    """

    kwargs = _get_kwargs(
        id=id,
        x_call_id=x_call_id,
        traceparent=traceparent,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    id: int,
    *,
    client: AuthenticatedClient,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Problem | UserDetails | None:
    """Show a user and its sync status.

     With the last ten writes of the last 30 days.

    Args:
        id (int):
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | UserDetails
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            x_call_id=x_call_id,
            traceparent=traceparent,
        )
    ).parsed
