"""Provider simulators over real HTTP that follow the contracts of DaData (phone, email) and YandexGPT (completion).

    python -m sandbox.simulators --port 8090 --latency-ms 100

They are as strict as the providers about keys, methods, media type, one record a request and lengths. Other behaviour
is set at run time, on the same port:

    PUT /_control       {"latency_ms": 100 | [50, 200],           latency of every answer, or
                         "latency_ms": {"phone": 100, "email": 100, "gpt": [5000, 20000]},
                         "dadata_requests_per_second": 20,        the 21st in any second gets 429; 0 is no quota
                         "dadata_new_connections_per_minute": 60, requests over the 61st connection that is opened
                                                                  in any 60 s get 429; 0 is no limit
                         "dadata_balance": 9922.30,               each answered call costs 0.20, and calls get 403 when
                                                                  less is left; null is no limit and no profile API
                         "dadata_daily_limit": 1000,              the 1001st call of a day gets 403; 0 is no limit
                         "yandexgpt_concurrent_requests": 10,     the 11th in flight gets 429; 0 is no quota
                         "yandexgpt_retired_models": ["yandexgpt-lite/latest"],  requests for these models get 400
                         "remember_inputs": true,                 count the answers for each input
                         "faults": [{"kind": "status", "status": 503, "retry_after": 1,
                                     "provider": "phone" | "email" | "gpt",  for this one only
                                     "when": "...",               only for inputs that contain this
                                     "probability": 0.03,         for this share of requests
                                     "times": 5}]}                for the first 5 requests only
    GET /_requests      counts of requests, answers and DaData's connections so far
    DELETE /_requests   reset the counts

Kinds of faults: status, hang, close, cut, junk, wrong_shape, huge, drip, nul, content_filter, truncated.

With a balance, DaData's profile API answers too: GET /api/v2/profile/balance and GET /api/v2/stat/daily.

The first request of a connection decides which provider the connection belongs to; until then it counts as DaData's.
A connection beyond the limit counts in the limit's 60 s as well.
"""

import argparse
import asyncio
import os
import random
import re
import sys
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import uvloop
from aiohttp import web

from sandbox.answers import clean_email, clean_phone, complete

HUGE_BYTES = 64 * 1024 * 1024
HANG_SECONDS = 3600
CLIENT_GONE = 499
"""Status for the counters only: the connection fails, so no client receives it."""

INPUTS_MAX = 1_000_000
"""Most inputs that are counted; further inputs are not."""

PRICE_KOPECKS = 20
MOSCOW = timezone(timedelta(hours=3))
BALANCE_PATH = "/api/v2/profile/balance"
STATISTICS_PATH = "/api/v2/stat/daily"

SETTINGS: dict[str, Any] = {
    "latency_ms": 100,
    "dadata_requests_per_second": 0,
    "dadata_new_connections_per_minute": 0,
    "dadata_balance": None,
    "dadata_daily_limit": 0,
    "yandexgpt_concurrent_requests": 0,
    "yandexgpt_retired_models": [],
    "remember_inputs": False,
    "faults": [],
}
PHRASES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}


@dataclass(slots=True)
class Connection:
    """An open connection. Whether it is beyond the limit is decided once, at its first request."""

    opened: float
    silent: bool = True
    dadata: bool = True
    beyond_limit: bool = False


class Connections:
    """Counts DaData's connections by the time of their opening."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[web.RequestHandler, Connection] = {}
        self.forget()

    def forget(self) -> None:
        """Reset the counters, but not the connections that are open."""
        self._openings = array("d")  # ascending

    def opened(self, handler: web.RequestHandler) -> None:
        """Count a connection as DaData's, before its first request."""
        now = self._clock()
        self._open[handler] = Connection(now)
        self._openings.append(now)

    def closed(self, handler: web.RequestHandler) -> None:
        """Remove a connection from the open ones."""
        self._open.pop(handler, None)

    def beyond_limit(self, handler: web.RequestHandler | None, dadata: bool, limit: int) -> bool:
        """Return whether a request for DaData has arrived over a connection that was opened beyond the limit."""
        connection = self._open.get(handler) if handler is not None else None
        if connection is None:  # closed already
            return False
        if connection.silent:
            connection.silent = False
            connection.dadata = dadata
            if not dadata:
                self._uncount(connection.opened)
            elif limit:
                connection.beyond_limit = self._in_the_minute_before(connection.opened) > limit
        return dadata and connection.beyond_limit and limit > 0

    def counted(self) -> dict[str, int]:
        """Return the counts of connections so far."""
        return {
            "dadata_connections": len(self._openings),
            "dadata_most_connections_in_a_minute": max(map(self._in_the_minute_before, self._openings), default=0),
            "dadata_open_connections": sum(connection.dadata for connection in self._open.values()),
        }

    def _uncount(self, opened: float) -> None:
        index = bisect_left(self._openings, opened)
        if index < len(self._openings) and self._openings[index] == opened:  # not forgotten meanwhile
            del self._openings[index]

    def _in_the_minute_before(self, moment: float) -> int:
        return bisect_right(self._openings, moment) - bisect_right(self._openings, moment - 60)


class Server(web.Server):
    """The HTTP server. It reports which connections are opened and closed."""

    def __init__(
        self, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], connections: Connections
    ) -> None:
        super().__init__(handle)
        self._dadata_connections = connections

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Report a connection that has been opened."""
        super().connection_made(handler, transport)
        self._dadata_connections.opened(handler)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Report a connection that has been closed."""
        super().connection_lost(handler, exc)
        self._dadata_connections.closed(handler)


class Simulators:
    """The behaviour and the counters of both providers. Runs on the event loop."""

    def __init__(self, latency_ms: float, seed: int) -> None:
        self.settings = {**SETTINGS, "latency_ms": latency_ms}
        self._random = random.Random(seed)
        self.connections = Connections()
        self.forget()

    def forget(self) -> None:
        """Reset all counters."""
        self._counters = {provider: Counter[str]() for provider in PATHS.values()}
        self._answered: Counter[str] = Counter()
        self._arrivals: deque[float] = deque()
        self._most_in_a_second = 0
        self._in_flight: Counter[str] = Counter()
        self._most_in_flight: Counter[str] = Counter()
        self._cleaned_on: Counter[str] = Counter()
        self.connections.forget()

    def counted(self) -> dict[str, Any]:
        """Return the counts of requests and answers so far."""
        return {
            "providers": self._counters,
            "in_flight": self._in_flight,
            "most_in_flight": self._most_in_flight,
            "dadata_most_in_a_second": self._most_in_a_second,
            **self.connections.counted(),
            "answered": self._answered,
        }

    def beyond_connection_limit(self, request: web.BaseRequest) -> bool:
        """Return whether DaData's limit of new connections refuses a request. Every request has to pass here."""
        limit = self.settings["dadata_new_connections_per_minute"]
        return self.connections.beyond_limit(request.protocol, request.path.startswith("/api/"), limit)

    async def answer(self, request: web.BaseRequest, beyond_connection_limit: bool) -> web.StreamResponse:
        """Answer one request of either provider."""
        provider = PATHS.get(request.path)
        if provider is None:
            return _too_many_connections(request) if beyond_connection_limit else self._answer_profile(request)
        self._counters[provider]["requests"] += 1
        self._in_flight[provider] += 1
        self._most_in_flight[provider] = max(self._most_in_flight[provider], self._in_flight[provider])
        try:
            response = await self._answer(request, provider, beyond_connection_limit)
        finally:
            self._in_flight[provider] -= 1
        self._counters[provider][str(response.status)] += 1
        return response

    async def _answer(
        self, request: web.BaseRequest, provider: str, beyond_connection_limit: bool
    ) -> web.StreamResponse:
        if beyond_connection_limit:
            return _too_many_connections(request)
        refused = _check_dadata(request) if provider != "gpt" else _check_yandexgpt(request)
        if refused is not None:
            return refused
        text = _input(provider, await request.read(), self.settings["yandexgpt_retired_models"])
        if not isinstance(text, str):
            return _refusal(request, 400, text[0])
        if self._over_quota(provider):
            return _refusal(request, 429, "ai.textGenerationCompletionSessionsCount.count gauge quota limit exceed")
        latency_ms = self.settings["latency_ms"]
        if isinstance(latency_ms, dict):
            latency_ms = latency_ms[provider]
        if isinstance(latency_ms, list):
            latency_ms = self._random.uniform(*latency_ms)
        await asyncio.sleep(latency_ms / 1000)
        fault = self._fault(provider, text)
        if fault is not None:
            return await self._fail(request, provider, text, fault)
        if provider != "gpt" and not self._charge():
            return _disabled(request)
        if self.settings["remember_inputs"] and len(self._answered) < INPUTS_MAX:
            self._answered[text] += 1
        return _json(ANSWERS[provider](text))

    def _charge(self) -> bool:
        """Charge the account for one answer of DaData, or return False if it has reached a limit."""
        today = _today()
        balance, daily_limit = self.settings["dadata_balance"], self.settings["dadata_daily_limit"]
        if daily_limit and self._cleaned_on[today] >= daily_limit:
            return False
        if balance is not None:
            if _affordable(balance) == 0:
                return False
            self.settings["dadata_balance"] = round(balance - PRICE_KOPECKS / 100, 2)
        self._cleaned_on[today] += 1
        return True

    def _answer_profile(self, request: web.BaseRequest) -> web.Response:
        balance, daily_limit = self.settings["dadata_balance"], self.settings["dadata_daily_limit"]
        if balance is None or request.path not in (BALANCE_PATH, STATISTICS_PATH):
            return _refusal(request, 404, f"Service not found: {request.path.rpartition('/')[2]}")
        refused = _check_profile(request)
        if refused is not None:
            return refused
        if request.path == BALANCE_PATH:
            return _json({"balance": balance})
        today = _today()
        done = self._cleaned_on[today]
        left = min(_affordable(balance), max(0, daily_limit - done)) if daily_limit else _affordable(balance)
        others = {"company": 0, "merging": 0, "suggestions": 0}
        return _json({"date": today, "services": {"clean": done, **others}, "remaining": {"clean": left, **others}})

    def _over_quota(self, provider: str) -> bool:
        if provider == "gpt":
            limit = self.settings["yandexgpt_concurrent_requests"]
            return bool(limit) and self._in_flight["gpt"] > limit
        now = time.monotonic()
        while self._arrivals and self._arrivals[0] <= now - 1:
            self._arrivals.popleft()
        limit = self.settings["dadata_requests_per_second"]
        if limit and len(self._arrivals) >= limit:
            return True
        self._arrivals.append(now)
        self._most_in_a_second = max(self._most_in_a_second, len(self._arrivals))
        return False

    def _fault(self, provider: str, text: str) -> dict[str, Any] | None:
        for fault in self.settings["faults"]:
            if fault.get("provider", provider) != provider or fault.get("when", "") not in text:
                continue
            if fault.get("times") == 0 or self._random.random() >= fault.get("probability", 1):
                continue
            if "times" in fault:
                fault["times"] -= 1
            self._counters[provider][f"fault_{fault['kind']}"] += 1
            return dict(fault)
        return None

    async def _fail(
        self, request: web.BaseRequest, provider: str, text: str, fault: dict[str, Any]
    ) -> web.StreamResponse:
        match fault["kind"]:
            case "status":
                refusal = _refusal(request, fault["status"], "simulated")
                if "retry_after" in fault:
                    refusal.headers["Retry-After"] = str(fault["retry_after"])
                return refusal
            case "hang":
                await asyncio.sleep(HANG_SECONDS)
                return web.Response(status=CLIENT_GONE)
            case "close":
                _hang_up(request)
                return web.Response(status=CLIENT_GONE)
            case "cut":
                body = orjson.dumps(ANSWERS[provider](text))
                response = web.StreamResponse(headers={"Content-Length": str(len(body))})
                await response.prepare(request)
                await response.write(body[: len(body) // 2])
                _hang_up(request)
                return response
            case "junk":
                return web.Response(body=b"<html>\xff", content_type="text/html")
            case "wrong_shape":
                return _json({"answer": 42})
            case "huge":
                return web.Response(body=b"[" + b" " * HUGE_BYTES, content_type="application/json")
            case "drip":
                response = web.StreamResponse()
                await response.prepare(request)
                while True:
                    await response.write(b" ")
                    await asyncio.sleep(0.05)
            case "nul":
                answer = ANSWERS[provider](text)
                return _json([{**answer[0], "source": "\0"}] if provider != "gpt" else {"result": complete("\0")})
            case "content_filter" | "truncated" as kind:
                status = {"content_filter": "CONTENT_FILTER", "truncated": "TRUNCATED_FINAL"}[kind]
                return _json({"result": complete(text, f"ALTERNATIVE_STATUS_{status}")})
            case kind:
                raise ValueError(f"unknown kind of fault: {kind}")


def _check_dadata(request: web.BaseRequest) -> web.Response | None:
    if request.method != "POST":
        return _refusal(request, 405, "Method not allowed")
    refused = _check_dadata_keys(request)
    if refused is not None:
        return refused
    if _dadata_key(request) == "wrong":
        return _disabled(request)
    if request.content_type != "application/json":
        return _refusal(request, 415, "Content-Type is not supported")
    return None


def _check_profile(request: web.BaseRequest) -> web.Response | None:
    if request.method != "GET":
        return _refusal(request, 405, "Method not allowed")
    if _dadata_key(request) == "wrong":
        return _refusal(request, 401, "Unknown api token")
    return _check_dadata_keys(request)


def _check_dadata_keys(request: web.BaseRequest) -> web.Response | None:
    if not _dadata_key(request):
        return _refusal(request, 401, "You should provide Authorization header with your api token")
    if not request.headers.get("X-Secret"):
        return _refusal(request, 401, "You should provide X-Secret header with your secret key")
    return None


def _dadata_key(request: web.BaseRequest) -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key if scheme == "Token" else ""


def _check_yandexgpt(request: web.BaseRequest) -> web.Response | None:
    if request.method != "POST":
        return _refusal(request, 405, "Method not allowed")
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme not in ("Api-Key", "Bearer") or not key or key == "wrong":
        return _refusal(request, 401, "Unknown api key")
    if request.content_type != "application/json":
        return _refusal(request, 415, "Content-Type is not supported")
    return None


def _input(provider: str, body: bytes, retired_models: list[str]) -> str | tuple[str]:
    """Return the request's text, or a tuple with the error message."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ("Failed to read request",)
    if provider != "gpt":
        match value:
            case [str(text)]:
                return text
            case _:
                return ("Exactly one record is expected",)
    match value:
        case {"modelUri": str(uri), "messages": [*_, {"role": "user", "text": str(text)}], "completionOptions": dict()}:
            if not re.fullmatch(r"gpt://[^/]+/[^/]+(/[^/]+)?", uri):
                return ("Failed to parse model URI",)
            if uri.split("/", 3)[3] in retired_models:
                return ("invalid model_uri",)
            if not 0 < len(text) <= 100_000:
                return (f"text length is {len(text)}, which is outside the range (0, 100000]",)
            return text
        case _:
            return ("Invalid request",)


ANSWERS: dict[str, Callable[[str], Any]] = {
    "phone": lambda text: [clean_phone(text)],
    "email": lambda text: [clean_email(text)],
    "gpt": lambda text: {"result": complete(text)},
}
PATHS = {
    **{f"/api/v1/clean/{task_type}": task_type for task_type in ANSWERS if task_type != "gpt"},
    "/foundationModels/v1/completion": "gpt",
}


def _refusal(request: web.BaseRequest, status: int, message: str) -> web.Response:
    phrase = PHRASES.get(status, "Error")
    if PATHS.get(request.path) == "gpt":
        error = {"grpcCode": 3, "httpCode": status, "message": message, "httpStatus": phrase, "details": []}
        return _json({"error": error}, status)
    if request.path in (BALANCE_PATH, STATISTICS_PATH):
        code = phrase.lower().replace(" ", "_")
        return _json({"code": code, "message": message, "fields": {}, "errors": []}, status)
    return _json({"status": status, "error": phrase, "message": message, "path": request.path}, status)


def _disabled(request: web.BaseRequest) -> web.Response:
    """Return DaData's answer to a wrong key or to an account that has reached a limit. Its own text repeats the key."""
    return _refusal(request, 403, f"Feature 'CLEAN' disabled for token '{_dadata_key(request)}'.")


def _too_many_connections(request: web.BaseRequest) -> web.Response:
    return _refusal(request, 429, "Too many new connections in a minute")


def _affordable(balance: float) -> int:
    return max(0, round(balance * 100) // PRICE_KOPECKS)


def _today() -> str:
    return datetime.now(MOSCOW).date().isoformat()


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _hang_up(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


async def serve(host: str, port: int, latency_ms: float, seed: int) -> None:
    """Serve both providers until cancelled."""
    simulators = Simulators(latency_ms, seed)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        beyond_connection_limit = simulators.beyond_connection_limit(request)
        match request.method, request.path:
            case "PUT", "/_control":
                wanted = orjson.loads(await request.read())
                unknown = wanted.keys() - SETTINGS.keys()
                if unknown:
                    return _json({"unknown": sorted(unknown)}, 400)
                simulators.settings = {**SETTINGS, "latency_ms": latency_ms, **wanted}
                return _json(simulators.settings)
            case "GET", "/_requests":
                return _json(simulators.counted())
            case "DELETE", "/_requests":
                simulators.forget()
                return _json({})
            case "GET", "/health":
                return _json({"status": "ok"})
        return await simulators.answer(request, beyond_connection_limit)

    runner = web.ServerRunner(Server(handle, simulators.connections))
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=2048).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Run the simulators from the command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.simulators", description="Provider simulators.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on (default: %(default)s)")
    latency_ms = os.environ.get("SIMULATOR_LATENCY_MS", "100")
    parser.add_argument(
        "--latency-ms", type=float, default=latency_ms, help="latency of each answer (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        uvloop.run(serve(arguments.host, arguments.port, arguments.latency_ms, arguments.seed))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit(f"{parser.prog}: {arguments.host}:{arguments.port}: {os.strerror(error.errno or 0)}")


if __name__ == "__main__":
    main()
