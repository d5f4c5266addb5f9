import datetime
from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.list_users_sync import ListUsersSync
from ...models.page import Page
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    stage: str | Unset = UNSET,
    sync: ListUsersSync | Unset = UNSET,
    phone: str | Unset = UNSET,
    external_id: str | Unset = UNSET,
    bitrix_lead_id: int | Unset = UNSET,
    name: str | Unset = UNSET,
    updated_since: datetime.datetime | Unset = UNSET,
    limit: int | Unset = 50,
    after: int | Unset = 0,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(x_call_id, Unset):
        headers["X-Call-Id"] = x_call_id

    if not isinstance(traceparent, Unset):
        headers["traceparent"] = traceparent

    params: dict[str, Any] = {}

    params["stage"] = stage

    json_sync: str | Unset = UNSET
    if not isinstance(sync, Unset):
        json_sync = sync.value

    params["sync"] = json_sync

    params["phone"] = phone

    params["external_id"] = external_id

    params["bitrix_lead_id"] = bitrix_lead_id

    params["name"] = name

    json_updated_since: str | Unset = UNSET
    if not isinstance(updated_since, Unset):
        json_updated_since = updated_since.isoformat()
    params["updated_since"] = json_updated_since

    params["limit"] = limit

    params["after"] = after

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/users",
        "params": params,
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Page | Problem | None:
    if response.status_code == 200:
        response_200 = Page.from_dict(response.json())

        return response_200

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Page | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    stage: str | Unset = UNSET,
    sync: ListUsersSync | Unset = UNSET,
    phone: str | Unset = UNSET,
    external_id: str | Unset = UNSET,
    bitrix_lead_id: int | Unset = UNSET,
    name: str | Unset = UNSET,
    updated_since: datetime.datetime | Unset = UNSET,
    limit: int | Unset = 50,
    after: int | Unset = 0,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Response[Page | Problem]:
    """List users by id, a page at a time.

     All conditions must hold. `next` is the `after` of the next page. To follow changes, pass the newest
    `updated_at` of the last round, less ten seconds, as `updated_since`: a write may become visible
    that much later than its time. A `+` in a query must be sent as `%2B`.

    Args:
        stage (str | Unset):
        sync (ListUsersSync | Unset):
        phone (str | Unset):
        external_id (str | Unset):
        bitrix_lead_id (int | Unset):
        name (str | Unset):
        updated_since (datetime.datetime | Unset):
        limit (int | Unset):  Default: 50.
        after (int | Unset):  Default: 0.
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Page | Problem]
    """

    kwargs = _get_kwargs(
        stage=stage,
        sync=sync,
        phone=phone,
        external_id=external_id,
        bitrix_lead_id=bitrix_lead_id,
        name=name,
        updated_since=updated_since,
        limit=limit,
        after=after,
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
    stage: str | Unset = UNSET,
    sync: ListUsersSync | Unset = UNSET,
    phone: str | Unset = UNSET,
    external_id: str | Unset = UNSET,
    bitrix_lead_id: int | Unset = UNSET,
    name: str | Unset = UNSET,
    updated_since: datetime.datetime | Unset = UNSET,
    limit: int | Unset = 50,
    after: int | Unset = 0,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Page | Problem | None:
    """List users by id, a page at a time.

     All conditions must hold. `next` is the `after` of the next page. To follow changes, pass the newest
    `updated_at` of the last round, less ten seconds, as `updated_since`: a write may become visible
    that much later than its time. A `+` in a query must be sent as `%2B`.

    Args:
        stage (str | Unset):
        sync (ListUsersSync | Unset):
        phone (str | Unset):
        external_id (str | Unset):
        bitrix_lead_id (int | Unset):
        name (str | Unset):
        updated_since (datetime.datetime | Unset):
        limit (int | Unset):  Default: 50.
        after (int | Unset):  Default: 0.
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Page | Problem
    """

    return sync_detailed(
        client=client,
        stage=stage,
        sync=sync,
        phone=phone,
        external_id=external_id,
        bitrix_lead_id=bitrix_lead_id,
        name=name,
        updated_since=updated_since,
        limit=limit,
        after=after,
        x_call_id=x_call_id,
        traceparent=traceparent,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    stage: str | Unset = UNSET,
    sync: ListUsersSync | Unset = UNSET,
    phone: str | Unset = UNSET,
    external_id: str | Unset = UNSET,
    bitrix_lead_id: int | Unset = UNSET,
    name: str | Unset = UNSET,
    updated_since: datetime.datetime | Unset = UNSET,
    limit: int | Unset = 50,
    after: int | Unset = 0,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Response[Page | Problem]:
    """List users by id, a page at a time.

     All conditions must hold. `next` is the `after` of the next page. To follow changes, pass the newest
    `updated_at` of the last round, less ten seconds, as `updated_since`: a write may become visible
    that much later than its time. A `+` in a query must be sent as `%2B`.

    Args:
        stage (str | Unset):
        sync (ListUsersSync | Unset):
        phone (str | Unset):
        external_id (str | Unset):
        bitrix_lead_id (int | Unset):
        name (str | Unset):
        updated_since (datetime.datetime | Unset):
        limit (int | Unset):  Default: 50.
        after (int | Unset):  Default: 0.
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Page | Problem]
    """

    kwargs = _get_kwargs(
        stage=stage,
        sync=sync,
        phone=phone,
        external_id=external_id,
        bitrix_lead_id=bitrix_lead_id,
        name=name,
        updated_since=updated_since,
        limit=limit,
        after=after,
        x_call_id=x_call_id,
        traceparent=traceparent,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    stage: str | Unset = UNSET,
    sync: ListUsersSync | Unset = UNSET,
    phone: str | Unset = UNSET,
    external_id: str | Unset = UNSET,
    bitrix_lead_id: int | Unset = UNSET,
    name: str | Unset = UNSET,
    updated_since: datetime.datetime | Unset = UNSET,
    limit: int | Unset = 50,
    after: int | Unset = 0,
    x_call_id: str | Unset = UNSET,
    traceparent: str | Unset = UNSET,
) -> Page | Problem | None:
    """List users by id, a page at a time.

     All conditions must hold. `next` is the `after` of the next page. To follow changes, pass the newest
    `updated_at` of the last round, less ten seconds, as `updated_since`: a write may become visible
    that much later than its time. A `+` in a query must be sent as `%2B`.

    Args:
        stage (str | Unset):
        sync (ListUsersSync | Unset):
        phone (str | Unset):
        external_id (str | Unset):
        bitrix_lead_id (int | Unset):
        name (str | Unset):
        updated_since (datetime.datetime | Unset):
        limit (int | Unset):  Default: 50.
        after (int | Unset):  Default: 0.
        x_call_id (str | Unset):
        traceparent (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Page | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            stage=stage,
            sync=sync,
            phone=phone,
            external_id=external_id,
            bitrix_lead_id=bitrix_lead_id,
            name=name,
            updated_since=updated_since,
            limit=limit,
            after=after,
            x_call_id=x_call_id,
            traceparent=traceparent,
        )
    ).parsed
