"""`python -m bench.callers`: REST callers that use little CPU.

Each sends a request when it has got the answer to its last one; or, with `--rate`, all of them send by the clock,
whatever the answers do.
"""

import argparse
import asyncio
import itertools
import json
import math
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

import httptools
import orjson
import uvloop

PATIENCE_SECONDS = 70.0
"""If no caller gets an answer for this long, the rest are given up. Longer than the gateway lets a request wait."""

NOT_CONNECTED, NO_ANSWER, WRONG_ANSWER = "not connected", "no answer", "200 with another task"
"""Counted in place of a status if there is no answer, or an answer for another task."""


@dataclass
class Tally:
    """The answers that all callers got."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    """Latencies of correct answers, from when the request is due until the whole answer is read."""

    @property
    def errors(self) -> int:
        """Number of requests that did not get their own result."""
        return self.statuses.total() - len(self.latencies_ms)

    def percentile_ms(self, percent: float) -> float | None:
        """Return a percentile of the latencies of correct answers; None if there are none."""
        rank = math.ceil(len(self.latencies_ms) * percent / 100)
        return round(sorted(self.latencies_ms)[rank - 1], 3) if self.latencies_ms else None


def main() -> None:
    """Send the requests and print one line of JSON. Exit with 1 if a request did not get its own result."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.callers",
        description="Sends phone tasks by REST over persistent connections, and prints one line of JSON.",
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000/tasks", help="URL to send to (default: %(default)s)")
    parser.add_argument("--callers", type=int, default=64, help="one request at a time each (default: %(default)s)")
    parser.add_argument(
        "--rate",
        type=float,
        help="requests a second to send by the clock; one that finds no caller free is late, and its latency counts "
        "from when it was due (default: as many as are answered)",
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--seconds", type=float, default=10.0, help="time during which they send (default: %(default)s)")
    end.add_argument("--requests", type=int, help="total number to send, regardless of the time")
    parser.add_argument("--first-task-id", type=int, default=1, help="task_id of the first task (default: %(default)s)")
    arguments = parser.parse_args()
    numbers: Iterator[int] = itertools.count(arguments.first_task_id)
    seconds = arguments.seconds
    if arguments.requests is not None:
        numbers, seconds = itertools.islice(numbers, arguments.requests), math.inf
    called = call(urlsplit(arguments.url), arguments.callers, numbers, seconds, arguments.rate)
    tally, seconds, cpu_seconds = uvloop.run(called)
    answered = len(tally.latencies_ms)
    report = {
        "requests": answered,
        "seconds": round(seconds, 6),
        "requests_per_second": round(answered / seconds, 1),
        "p50_ms": tally.percentile_ms(50),
        "p90_ms": tally.percentile_ms(90),
        "p99_ms": tally.percentile_ms(99),
        "p99_9_ms": tally.percentile_ms(99.9),
        "max_ms": tally.percentile_ms(100),
        "statuses": tally.statuses,
        "errors": tally.errors,
        "cpu_seconds": round(cpu_seconds, 3),
    }
    print(json.dumps(report))
    sys.exit(1 if tally.errors or not answered else 0)


async def call(
    url: SplitResult, callers: int, numbers: Iterator[int], seconds: float, rate: float | None
) -> tuple[Tally, float, float]:
    """Let the callers send a task for each number, for at most `seconds`, at this rate if there is one.

    Returns the tally, the seconds until the last answer, and the seconds of CPU time.
    """
    loop, tally = asyncio.get_running_loop(), Tally()
    connected: list[Caller] = []
    for _ in range(callers):
        try:
            _, caller = await loop.create_connection(lambda: Caller(url, tally), url.hostname or "", url.port or 80)
        except OSError:
            tally.statuses[NOT_CONNECTED] += 1
        else:
            connected.append(caller)
    started_at, started_cpu_seconds = time.perf_counter(), time.process_time()
    if connected:
        if rate is None:
            send_after_answers(connected, numbers, started_at + seconds)
        else:
            await send_by_the_clock(connected, numbers, started_at, started_at + seconds, rate)
    waiting = {caller.ended for caller in connected}
    answered = -1
    while waiting and answered < tally.statuses.total():  # there were answers in the last period
        answered = tally.statuses.total()
        _, waiting = await asyncio.wait(waiting, timeout=PATIENCE_SECONDS)
    if waiting:
        tally.statuses[NO_ANSWER] += len(waiting)
    return tally, time.perf_counter() - started_at, time.process_time() - started_cpu_seconds


def send_after_answers(callers: "list[Caller]", numbers: Iterator[int], stop_at: float) -> None:
    """Let each caller send a task at once, and another after each answer, until `stop_at`."""

    def go_on(caller: Caller) -> None:
        now = time.perf_counter()
        number = next(numbers, None) if now < stop_at else None
        if number is None:
            caller.close()
        else:
            caller.send(number, now)

    for caller in callers:
        caller.answered = go_on
        go_on(caller)


async def send_by_the_clock(
    callers: "list[Caller]", numbers: Iterator[int], start_at: float, stop_at: float, rate: float
) -> None:
    """Send tasks at a steady rate until `stop_at`, each through a caller that is free, or the next one that will be."""
    free: deque[Caller] = deque(callers)
    late: deque[tuple[int, float]] = deque()
    sending = True

    def go_on(caller: Caller) -> None:
        if late:
            caller.send(*late.popleft())
        elif sending:
            free.append(caller)
        else:
            caller.close()

    for caller in callers:
        caller.answered = go_on
    for count in itertools.count():
        due_at = start_at + count / rate
        number = next(numbers, None) if due_at < stop_at else None
        if number is None:
            break
        if (wait_seconds := due_at - time.perf_counter()) > 0:
            await asyncio.sleep(wait_seconds)
        if free:
            free.popleft().send(number, due_at)
        else:
            late.append((number, due_at))
    sending = False
    for caller in free:
        caller.close()


class Caller(asyncio.Protocol):
    """One caller: sends a task and reads its answer. Also receives its HTTP parser's callbacks."""

    answered: "Callable[[Caller], None]"
    """Called with the caller after each answer."""

    def __init__(self, url: SplitResult, tally: Tally) -> None:
        """Prepare the requests.

        Args:
            url: URL to send to.
            tally: the tally of all callers.
        """
        self.ended = asyncio.get_running_loop().create_future()
        self._head = (
            f"POST {url.path or '/'} HTTP/1.1\r\nHost: {url.netloc}\r\n"
            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        ).encode()
        self._tally = tally
        self._number: int | None = None
        self._body = b""

    def send(self, number: int, due_at: float) -> None:
        """Send a task that was due at this time of `time.perf_counter()`."""
        if self._transport.is_closing():
            self._tally.statuses[NO_ANSWER] += 1
            return
        self._number, self._due_at = number, due_at
        body = b'{"task_id":%d,"task_type":"phone","data":"8 916 823 34 54"}' % number
        self._transport.write(self._head % len(body) + body)

    def close(self) -> None:
        """Send no more."""
        self._transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's is wider
        """Part of asyncio.Protocol."""
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        if self._number is not None:
            self._tally.statuses[NO_ANSWER] += 1
        self.ended.set_result(None)

    def on_body(self, body: bytes) -> None:
        """Callback of the parser."""
        self._body += body

    def on_message_complete(self) -> None:
        """Callback of the parser."""
        latency_ms = (time.perf_counter() - self._due_at) * 1000
        status = str(self._parser.get_status_code())
        if status == "200":
            if self._is_own(self._body):
                self._tally.latencies_ms.append(latency_ms)
            else:
                status = WRONG_ANSWER
        self._tally.statuses[status] += 1
        self._body, self._number = b"", None
        self.answered(self)

    def _is_own(self, answer: bytes) -> bool:
        try:
            return bool(orjson.loads(answer)["task_id"] == self._number)
        except (ValueError, KeyError, TypeError):
            return False


if __name__ == "__main__":
    main()
