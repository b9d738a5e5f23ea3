"""The routes of the OpenAPI and the AsyncAPI document, and of a page for each."""

import json
from functools import cached_property

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.documents.asyncapi import asyncapi_document
from gateway.documents.openapi import openapi_document
from gateway.documents.pages import STRICT_POLICY, page
from gateway.settings import GatewaySettings

SWAGGER_POLICY = STRICT_POLICY.replace("img-src 'self'", "img-src 'self' data:")
"""Swagger UI's style sheet contains its icons."""

router = APIRouter()


class Documents:
    """Both documents, as `request.app.state.documents`. Each is built at its first request."""

    def __init__(self, title: str, version: str, settings: GatewaySettings) -> None:
        self._service = title, version, settings

    @cached_property
    def openapi(self) -> bytes:
        """The OpenAPI document, as JSON."""
        return _json(openapi_document(*self._service))

    @cached_property
    def asyncapi(self) -> bytes:
        """The AsyncAPI document, as JSON."""
        return _json(asyncapi_document(*self._service))


@router.get("/openapi.json")
async def openapi_json(request: Request) -> Response:
    """Answer with the OpenAPI document."""
    return Response(request.app.state.documents.openapi, media_type="application/json")


@router.get("/asyncapi.json")
async def asyncapi_json(request: Request) -> Response:
    """Answer with the AsyncAPI document."""
    return Response(request.app.state.documents.asyncapi, media_type="application/json")


@router.get("/docs")
def docs() -> Response:
    """Answer with Swagger UI, which shows the OpenAPI document."""
    return page("/docs", "docs.html", SWAGGER_POLICY)


@router.get("/asyncapi")
def asyncapi() -> Response:
    """Answer with the page that shows the AsyncAPI document."""
    return page("/asyncapi", "asyncapi.html", STRICT_POLICY)


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
