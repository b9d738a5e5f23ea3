"""The routes of the gateway's health and metrics."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from gateway.state import Gateway

router = APIRouter()


@router.get("/health/live")
async def live(request: Request) -> Response:
    """Answer whether the gateway works; if not, only a restart helps."""
    gateway: Gateway = request.app.state.gateway
    return _health(gateway.kafka.dead())


@router.get("/health/ready")
async def ready(request: Request) -> Response:
    """Answer whether tasks can be accepted: Kafka and the topics are available, and the gateway reads all replies."""
    gateway: Gateway = request.app.state.gateway
    return _health(gateway.kafka.dead() + gateway.kafka.missing())


@router.get("/metrics")
def metrics() -> Response:
    """Answer with the metrics, for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _health(missing: list[str]) -> Response:
    return JSONResponse({"status": "missing" if missing else "ok", "missing": missing}, 503 if missing else 200)
