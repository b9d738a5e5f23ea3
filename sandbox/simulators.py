"""Provider simulators over real HTTP that follow the contracts of DaData (phone, email) and YandexGPT (completion).

    python -m sandbox.simulators --port 8090 --latency-ms 100

They are as strict as the providers about keys, methods, media type, one record a request and lengths. Other behaviour
is set at run time, on the same port:

    PUT /_control       {"latency_ms": 100 | [50, 200],           latency of every answer, or
                         "latency_ms": {"phone": 100, "email": 100, "gpt": [5000, 20000]},
                         "dadata_requests_per_second": 20,        the 21st in any second gets 429; 0 is no quota
                         "yandexgpt_concurrent_requests": 10,     the 11th in flight gets 429; 0 is no quota
                         "remember_inputs": true,                 count the answers for each input
                         "faults": [{"kind": "status", "status": 503, "retry_after": 1,
                                     "provider": "phone" | "email" | "gpt",  for this one only
                                     "when": "...",               only for inputs that contain this
                                     "probability": 0.03,         for this share of requests
                                     "times": 5}]}                for the first 5 requests only
    GET /_requests      counts of requests and answers so far
    DELETE /_requests   reset the counts

Kinds of faults: status, hang, close, cut, junk, wrong_shape, huge, drip, nul, content_filter, truncated.
"""

import argparse
import asyncio
import os
import random
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import orjson
import uvloop
from aiohttp import web

HUGE_BYTES = 64 * 1024 * 1024
HANG_SECONDS = 3600
CLIENT_GONE = 499
"""Status for the counters only: the connection fails, so no client receives it."""

INPUTS_MAX = 1_000_000
"""Most inputs that are counted; further inputs are not."""

SETTINGS: dict[str, Any] = {
    "latency_ms": 100,
    "dadata_requests_per_second": 0,
    "yandexgpt_concurrent_requests": 0,
    "remember_inputs": False,
    "faults": [],
}
PHRASES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}


class Simulators:
    """The behaviour and the counters of both providers. Runs on the event loop."""

    def __init__(self, latency_ms: float, seed: int) -> None:
        self.settings = {**SETTINGS, "latency_ms": latency_ms}
        self._random = random.Random(seed)
        self.forget()

    def forget(self) -> None:
        """Reset all counters."""
        self._counters = {provider: Counter[str]() for provider in PATHS.values()}
        self._answered: Counter[str] = Counter()
        self._arrivals: deque[float] = deque()
        self._most_in_a_second = 0
        self._in_flight: Counter[str] = Counter()
        self._most_in_flight: Counter[str] = Counter()

    def counted(self) -> dict[str, Any]:
        """Return the counts of requests and answers so far."""
        return {
            "providers": self._counters,
            "in_flight": self._in_flight,
            "most_in_flight": self._most_in_flight,
            "dadata_most_in_a_second": self._most_in_a_second,
            "answered": self._answered,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of either provider."""
        provider = PATHS.get(request.path)
        if provider is None:
            return _refusal(request, 404, f"Service not found: {request.path.rpartition('/')[2]}")
        self._counters[provider]["requests"] += 1
        self._in_flight[provider] += 1
        self._most_in_flight[provider] = max(self._most_in_flight[provider], self._in_flight[provider])
        try:
            response = await self._answer(request, provider)
        finally:
            self._in_flight[provider] -= 1
        self._counters[provider][str(response.status)] += 1
        return response

    async def _answer(self, request: web.BaseRequest, provider: str) -> web.StreamResponse:
        refused = _check_dadata(request) if provider != "gpt" else _check_yandexgpt(request)
        if refused is not None:
            return refused
        text = _input(provider, await request.read())
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
        if self.settings["remember_inputs"] and len(self._answered) < INPUTS_MAX:
            self._answered[text] += 1
        return _json(ANSWERS[provider](text))

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
                return _json([{**answer[0], "source": "\0"}] if provider != "gpt" else {"result": _completion("\0")})
            case "content_filter" | "truncated" as kind:
                status = {"content_filter": "CONTENT_FILTER", "truncated": "TRUNCATED_FINAL"}[kind]
                return _json({"result": _completion(text, f"ALTERNATIVE_STATUS_{status}")})
            case kind:
                raise ValueError(f"unknown kind of fault: {kind}")


def _check_dadata(request: web.BaseRequest) -> web.Response | None:
    if request.method != "POST":
        return _refusal(request, 405, "Method not allowed")
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Token" or not key:
        return _refusal(request, 401, "You should provide Authorization header with your api token")
    if not request.headers.get("X-Secret"):
        return _refusal(request, 401, "You should provide X-Secret header with your secret key")
    if key == "wrong":  # DaData's own text repeats the key
        return _refusal(request, 403, f"Feature 'CLEAN' disabled for token '{key}'.")
    if request.content_type != "application/json":
        return _refusal(request, 415, "Content-Type is not supported")
    return None


def _check_yandexgpt(request: web.BaseRequest) -> web.Response | None:
    if request.method != "POST":
        return _refusal(request, 405, "Method not allowed")
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme not in ("Api-Key", "Bearer") or not key or key == "wrong":
        return _refusal(request, 401, "Unknown api key")
    if request.content_type != "application/json":
        return _refusal(request, 415, "Content-Type is not supported")
    return None


def _input(provider: str, body: bytes) -> str | tuple[str]:
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
            if not 0 < len(text) <= 100_000:
                return (f"text length is {len(text)}, which is outside the range (0, 100000]",)
            return text
        case _:
            return ("Invalid request",)


def _clean_phone(text: str) -> list[dict[str, Any]]:
    main, *extension = re.split(r"\*|доб\.?|ext\.?", text, maxsplit=1)
    digits = re.sub(r"\D", "", main)
    empty = dict.fromkeys(
        ("type", "phone", "country_code", "city_code", "number", "extension", "provider", "country", "region", "city")
    )
    answer = {"source": text, **empty, "timezone": None, "qc_conflict": 0, "qc": 2}
    if (len(digits) == 11 and digits[0] in "78") or len(digits) == 10:
        code, number = digits[-10:-7], digits[-7:]
        mobile = code[0] == "9"
        answer |= {
            "type": "Мобильный" if mobile else "Стационарный",
            "phone": f"+7 {code} {number[:3]}-{number[3:5]}-{number[5:]}",
            "country_code": "7",
            "city_code": code,
            "number": number,
            "extension": re.sub(r"\D", "", extension[0]) if extension else None,
            "provider": 'ПАО "Мобильные ТелеСистемы"' if mobile else 'ООО "СИПАУТНЭТ"',
            "country": "Россия",
            "region": "Москва и Московская область",
            "timezone": "UTC+3",
            "qc": 0,
        }
    elif 11 < len(digits) <= 15:
        answer |= {"type": "Стационарный", "phone": f"+{digits}", "number": digits[3:], "qc": 7}
    elif digits:
        answer |= {"type": "Неизвестный", "qc": 1}
    return [answer]


def _clean_email(text: str) -> list[dict[str, Any]]:
    address = re.sub(r"[\s,]", "", text).lower().replace("/", ".")
    local, at, domain = address.partition("@")
    if not (local and at and "." in domain):
        return [{"source": text, "email": None, "local": None, "domain": None, "type": None, "qc": 1 if at else 2}]
    kind = "ROLE" if local in ("info", "support", "admin") else "PERSONAL"
    qc = 0 if address == text else 4
    return [{"source": text, "email": address, "local": local, "domain": domain, "type": kind, "qc": qc}]


def _completion(text: str, status: str = "ALTERNATIVE_STATUS_FINAL") -> dict[str, Any]:
    answer = f"Вы спросили: {text[:200]}"
    asked, answered = len(text) // 4 + 1, len(answer) // 4 + 1
    return {
        "alternatives": [{"message": {"role": "assistant", "text": answer}, "status": status}],
        "usage": {
            "inputTextTokens": str(asked),
            "completionTokens": str(answered),
            "totalTokens": str(asked + answered),
            "completionTokensDetails": {"reasoningTokens": "0"},
        },
        "modelVersion": "09.02.2025",
    }


ANSWERS: dict[str, Callable[[str], Any]] = {
    "phone": _clean_phone,
    "email": _clean_email,
    "gpt": lambda text: {"result": _completion(text)},
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
    return _json({"status": status, "error": phrase, "message": message, "path": request.path}, status)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _hang_up(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


async def serve(host: str, port: int, latency_ms: float, seed: int) -> None:
    """Serve both providers until cancelled."""
    simulators = Simulators(latency_ms, seed)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
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
        return await simulators.answer(request)

    runner = web.ServerRunner(web.Server(handle))
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
