"""Whether a gateway works, and what it counts."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from gateway.state import Gateway

router = APIRouter()


@router.get("/health/live")
async def live(request: Request) -> Response:
    """Whether the gateway works at all; restart it where not."""
    gateway: Gateway = request.app.state.gateway
    return _health(gateway.kafka.dead())


@router.get("/health/ready")
async def ready(request: Request) -> Response:
    """Whether tasks can be taken: Kafka and the topics are there, and all replies are heard."""
    gateway: Gateway = request.app.state.gateway
    return _health(gateway.kafka.dead() + gateway.kafka.missing())


@router.get("/metrics")
def metrics() -> Response:
    """Answer Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _health(missing: list[str]) -> Response:
    return JSONResponse({"status": "missing" if missing else "ok", "missing": missing}, 503 if missing else 200)
