"""The pages for people: plain files from `assets/`, served without anything from outside."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

ASSETS = Path(__file__).parent / "assets"

STRICT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline and nothing from elsewhere (Content Security Policy Level 3)."""

router = APIRouter()
assets = StaticFiles(directory=ASSETS)


@router.get("/")
def try_it() -> Response:
    """Answer the page on which a person tries the service."""
    return page("try.html", STRICT_POLICY)


def page(name: str, policy: str) -> Response:
    """Answer a file of `assets/` as a page under the policy."""
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
    return FileResponse(ASSETS / name, headers=headers)
