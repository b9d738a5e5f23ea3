"""The routes of the pages for people: plain files from `assets/`, which load nothing from other hosts."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import MappingProxyType

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from gateway.state import Gateway
from shared.messages import TASK_DATA

ASSETS = Path(__file__).parent / "assets"
HEADER = (Path(__file__).parent / "header.html").read_text("utf-8").strip()
"""The header of every page."""

STRICT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No inline code and nothing from other hosts (Content Security Policy Level 3)."""

router = APIRouter()

_assets = StaticFiles(directory=ASSETS)


@router.head("/", include_in_schema=False)
@router.get("/")
def try_it(request: Request) -> Response:
    """Answer with the page on which people try the service. It shows a task's record, with its topic."""
    gateway: Gateway = request.app.state.gateway
    settings = gateway.settings
    values = {"import_topic": settings.kafka_import_topic, "auth": settings.gateway_auth}
    return page("/", "try.html", STRICT_POLICY, html={"task_types": task_type_choices()}, **values)


@router.api_route("/assets/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def asset(path: str, request: Request) -> Response:
    """Answer with a file that a page loads. Browsers revalidate its ETag each time, so an upgrade shows at once.

    This is a route and not a mount, because a mount has no name in the metrics.
    """
    response = await _assets.get_response(path, request.scope)
    response.headers.update(_headers(STRICT_POLICY))
    return response


def page(
    path: str, name: str, policy: str, *, html: Mapping[str, str] = MappingProxyType({}), **values: str
) -> Response:
    """Answer with a file of `assets/` as a page.

    Args:
        path: the page's own path, which its header marks as current.
        name: name of the file.
        policy: the page's Content-Security-Policy.
        html: replaces its names in braces, unescaped.
        values: likewise, as escaped text.
    """
    text = (ASSETS / name).read_text("utf-8")
    header = HEADER.replace(f'<a href="{path}">', f'<a href="{path}" aria-current="page">')
    for key, value in {"header": header, **html, **{name: escape(value) for name, value in values.items()}}.items():
        text = text.replace(f"{{{key}}}", value)
    return HTMLResponse(text, headers=_headers(policy))


def task_type_choices() -> str:
    """Return the page's radio buttons, in HTML."""
    return "".join(
        f'<label><input type="radio" name="task_type" value="{task_type}"{" checked" if number == 0 else ""}'
        f' data-characters-max="{data.characters_max}" data-example="{escape(data.example)}">'
        f"<span>{task_type}</span></label>"
        for number, (task_type, data) in enumerate(TASK_DATA.items())
    )


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
