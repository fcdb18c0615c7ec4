"""Reading what a page sends, and telling it what went wrong in a way that it knows whether to try again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from labeling.label import DamagedStoreError
from labeling.store import StoreError
from labeling.store_thread import Overloaded, database_error, is_locked
from labeling.web_access import PERSON, Person

__all__ = ["ERROR_HANDLERS", "check_ids", "is_query_id", "person_of", "read_fields", "require_operator"]

_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")


async def _on_error(request: Request, error: Exception) -> Response:
    """What a page is told of an error: whether to try again (429, 5xx), or to let it be (4xx)."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
    if isinstance(error, Overloaded) or is_locked(error):
        return JSONResponse({"error": str(error)}, 503, headers={"retry-after": "2"})
    if isinstance(error, DamagedStoreError):
        text = "the label store is damaged; tell whoever runs this page; your answer is kept in your browser"
        return JSONResponse({"error": text}, 503, headers={"retry-after": "15"})
    cause = database_error(error)
    if cause is not None:
        return JSONResponse({"error": f"the disk refuses: {cause}; your answer is kept in your browser"}, 507)
    return JSONResponse({"error": str(error)}, 409)


ERROR_HANDLERS: Mapping[Any, Any] = {HTTPException: _on_error, StoreError: _on_error, Overloaded: _on_error}


def person_of(request: Request) -> Person:
    """Who sent this, by their token."""
    person: Person = request.scope[PERSON]
    return person


def require_operator(request: Request) -> Person:
    """Who sent this, if they are an operator.

    Raises:
        HTTPException: 403 for everybody else.
    """
    person = person_of(request)
    if not person.is_operator:
        raise HTTPException(403, "this page is for the person who runs the labeling")
    return person


async def read_fields(request: Request, **kinds: Any) -> dict[str, Any]:
    """The fields of a JSON object, each of its kind, whole numbers from 0 to 2^53; further fields are ignored.

    Raises:
        HTTPException: 400 for anything else.
    """
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "expected a body of JSON") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "expected a JSON object")
    fields: dict[str, Any] = {name: found.get(name) for name in kinds}
    for name, kind in kinds.items():
        value = fields[name]
        is_fine = isinstance(value, kind) and not isinstance(value, bool)
        if not is_fine or (kind is int and not 0 <= value <= 2**53):
            raise HTTPException(400, f"expected {name} of type {getattr(kind, '__name__', kind)}")
    return fields


def check_ids(fields: Mapping[str, Any], *names: str) -> None:
    """Checks ids that a page makes up, and `query_id` where it is among the fields.

    Raises:
        HTTPException: 400 for ids that no page of ours sends.
    """
    for name in names:
        if not _ID.fullmatch(fields[name]):
            raise HTTPException(400, f"expected {name} of 8 to 64 letters, digits, - and _")
    if "query_id" in fields and not is_query_id(fields["query_id"]):
        raise HTTPException(400, "expected a query_id")


def is_query_id(value: object) -> bool:
    """Whether it can be one."""
    return isinstance(value, str) and 0 < len(value) <= 128 and value.isprintable()
