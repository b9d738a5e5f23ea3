"""The pages for people: plain files from `assets/`, served without anything from outside."""

from html import escape
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from gateway.tasks import Gateway

ASSETS = Path(__file__).parent / "assets"

STRICT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline and nothing from elsewhere (Content Security Policy Level 3)."""

router = APIRouter()

_assets = StaticFiles(directory=ASSETS)


@router.head("/", include_in_schema=False)
@router.get("/")
def try_it(request: Request) -> Response:
    """Answer the page on which a person tries the service. It shows the record that a task becomes, with its topic."""
    gateway: Gateway = request.app.state.gateway
    settings = gateway.settings
    return page("try.html", STRICT_POLICY, import_topic=settings.kafka_import_topic, auth=settings.gateway_auth)


@router.api_route("/assets/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def asset(path: str, request: Request) -> Response:
    """Answer a file that a page loads. A browser asks by its ETag for a newer one each time: an upgrade shows at once.

    A route and not a mount, which would have no name in the metrics.
    """
    response = await _assets.get_response(path, request.scope)
    response.headers.update(_headers(STRICT_POLICY))
    return response


def page(name: str, policy: str, **values: str) -> Response:
    """Answer a file of `assets/` as a page under the policy.

    Args:
        name: of the file.
        policy: its Content-Security-Policy.
        values: put in where the file has their names in braces.
    """
    text = (ASSETS / name).read_text("utf-8")
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", escape(value))
    return HTMLResponse(text, headers=_headers(policy))


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
