"""The try-it page in a real browser, against a gateway and a processor with everything real."""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Consumer, TopicPartition
from playwright.sync_api import expect
from pydantic import SecretStr

from gateway.access.tokens import Tokens
from gateway.correlation import new_correlation_id
from sandbox.child import free_port
from shared.messages import TASK_DATA
from tests.accessibility import violations
from tests.conftest import ROOT, Database, Program, Topics, until

REPLY_TIMEOUT_SECONDS = 2
SECRET_KEY = "a-key-of-at-least-32-bytes-for-tests"
SLOW_MS = 4_000
"""Longer than the gateway waits for a reply."""

NASTY = "it's \"quoted\" $HOME ${PATH} `id` $(id) \\ \\n ! %s & ; <b>|\n\tвторая строка \u202e\x7f 🙂 '"
"""Text that shells, terminals, JSON and HTML could misinterpret."""

EXAMPLES = {task_type: data.example for task_type, data in TASK_DATA.items()}


class Service:
    """A gateway and a processor for all tests of this module."""

    def __init__(self, kafka, postgres, simulators, folder):
        self.simulators = simulators
        self.topics = Topics(kafka, f"page-{uuid.uuid4().hex[:8]}")
        postgres.create_database("page", template="template_tasks")
        self.database = Database(postgres, "page")
        self.folder = folder
        providers = {
            "DADATA_API_KEY": "k",
            "DADATA_SECRET_KEY": "s",
            "YANDEXGPT_API_KEY": "k",
            "YANDEXGPT_FOLDER_ID": "f",
        }
        self.processor = self.program(
            "processor",
            **self.database.environment,
            **providers,
            DADATA_URL=simulators.url,
            YANDEXGPT_URL=simulators.url,
            PROVIDER_ATTEMPTS=1,
        )
        self.gateway = self.program("gateway", REPLY_TIMEOUT_SECONDS=REPLY_TIMEOUT_SECONDS)
        self.guarded = self.program("gateway", GATEWAY_AUTH="required", SECRET_KEY=SECRET_KEY)
        self.url = self.gateway.url

    def program(self, package, **settings):
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            **self.topics.environment,
            "PROCESSOR_HTTP_PORT": port,
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": port,
            **settings,
        }
        program = Program(
            package,
            [sys.executable, "-m", package],
            self.folder / f"{package}-{port}.log",
            environment={name: str(value) for name, value in environment.items()},
            folder=ROOT,
        )
        program.serve_at(port)
        program.start()
        return program

    def record(self, correlation_id):
        """Return (key, value, headers) of the import topic's record with this correlation id."""
        consumer = Consumer({"bootstrap.servers": self.topics.kafka.bootstrap_servers, "group.id": uuid.uuid4().hex})
        consumer.assign([TopicPartition(self.topics.name, number, 0) for number in range(self.topics.partitions)])
        try:
            for message in iter(lambda: consumer.poll(10), None):
                headers = {name: value.decode() for name, value in message.headers()}
                if headers["kafka_correlationId"] == correlation_id:
                    return message.key(), message.value(), headers
        finally:
            consumer.close()
        raise AssertionError(f"no record with the correlation id {correlation_id}")

    def close(self):
        for program in (self.gateway, self.guarded, self.processor):
            program.kill()
            program.client.close()
        self.topics.close()


@pytest.fixture(scope="module")
def running(kafka, postgres, simulators_process, tmp_path_factory):
    service = Service(kafka, postgres, simulators_process, tmp_path_factory.mktemp("page"))
    try:
        service.gateway.wait()
        service.guarded.wait()
        service.processor.wait()
        yield service
        for program in (service.gateway, service.guarded, service.processor):
            assert "unforeseen" not in program.log_text(), program.log_text()
    finally:
        service.close()


@pytest.fixture
def service(running):
    running.simulators.control(latency_ms=10, remember_inputs=True)
    running.simulators.client.delete("/_requests")
    return running


@pytest.fixture
def visit(browser, service):
    """Return a function that opens the page in its own browser context.

    The browser's complaints fail the test: errors, violations of the policy, and requests to other hosts.
    Exempt are error answers of /tasks, which tests provoke and Chromium logs to the console.
    """
    contexts, complaints = [], []

    def note_console(message):
        if message.type in ("error", "warning") and not urlsplit(message.location["url"]).path.startswith("/tasks"):
            complaints.append(f"{message.type}: {message.text} {message.location}")

    def note_request(request):
        if not request.url.startswith((service.url + "/", service.guarded.url + "/", "data:")):
            complaints.append(f"a request to {request.url}")

    def visit(url=service.url, **options):
        permissions = ["clipboard-read", "clipboard-write"]
        context = browser.new_context(permissions=permissions, reduced_motion="reduce", **options)
        contexts.append(context)
        context.on("console", note_console)
        context.on("request", note_request)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        page = context.new_page()
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        page.goto(url)
        expect(page.locator("#data")).not_to_have_value("")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def send(page, task_type="phone", data=None, answer="Wait for the reply"):
    page.get_by_label(task_type, exact=True).check()
    if data is not None:
        page.get_by_label("Data").fill(data)
    page.get_by_label(answer).check()
    page.get_by_role("button", name="Send", exact=True).click()


def expect_reply(page, state, title):
    # A generous timeout: a processor's first task takes a while.
    expect(page.locator("#reply-state")).to_contain_text(state, timeout=30_000)
    expect(page.locator("#reply-title")).to_have_text(re.compile(title))


def last_tasks(page):
    return page.locator("#tasks li")


def test_each_type_comes_back_with_the_id_of_its_row(visit, service):
    page = visit()

    for number, (task_type, example) in enumerate(EXAMPLES.items(), start=1):
        send(page, task_type)

        expect_reply(page, "Done", r"Stored as row \d+")
        expect(page.locator("#reply-task")).to_have_text(f"{task_type}, task_id {number}")
        expect(page.locator("#reply-http")).to_have_text(re.compile(r"^HTTP 200 after [\d,]+ ms$"))
        row = int(page.locator("#reply-row").text_content())
        data, stored_type = service.database.rows()[row]
        assert stored_type == task_type
        assert task_type == "gpt" or data["source"] == example
        assert re.fullmatch(r"[0-9a-f-]{36}", page.locator("#reply-correlation").text_content())
        expect(page.locator("#said")).to_contain_text(f"Done, row {row}")
        [[shown]] = service.database.query(page.locator("#sql").text_content())
        assert json.loads(shown) == data, "the line of SQL shows the stored answer"
    assert last_tasks(page).count() == 3


def test_the_example_follows_the_type_until_the_data_is_edited(visit):
    page = visit()

    for task_type, example in EXAMPLES.items():
        page.get_by_label(task_type, exact=True).check()
        expect(page.get_by_label("Data")).to_have_value(example)
    page.get_by_label("Data").fill("my own")
    page.get_by_label("phone", exact=True).check()

    expect(page.get_by_label("Data")).to_have_value("my own")
    expect(page.locator("#data-count")).to_have_text("6 of at most 256 characters")


def test_an_answer_at_once_is_followed_until_the_task_is_done_even_over_a_reload(visit, service):
    service.simulators.control(latency_ms=SLOW_MS)
    page = visit()

    send(page, answer="Respond at once")

    expect_reply(page, "Waiting", "Kafka has the task")
    page.reload()
    expect(last_tasks(page).first).to_contain_text("Waiting")
    expect(page.locator("#reply-title")).to_have_text("Kafka has the task")  # the panel shows the newest task
    expect(page.locator("#reply-state")).to_have_text(re.compile(r"^Waiting, [1-9]\d* s$"))
    expect_reply(page, "Done", r"Stored as row \d+")
    expect(last_tasks(page).first).to_contain_text(re.compile(r"row \d+"), timeout=30_000)
    expect(page.locator("#said")).to_contain_text("Done, row")
    assert page.evaluate("Object.keys(localStorage)") == ["integration-service.tasks"]


def test_without_a_reply_in_time_the_page_says_so_and_goes_on_asking(visit, service):
    service.simulators.control(latency_ms=SLOW_MS)
    page = visit()

    send(page)

    expect_reply(page, "Waiting", "No reply in time")
    expect(page.locator("#reply-text")).to_contain_text("is in Kafka and will be done")
    expect(page.locator("#reply-http")).to_contain_text("HTTP 504")
    expect_reply(page, "Done", r"Stored as row \d+")


def test_a_wait_is_bounded_by_the_seconds_that_are_typed(visit, service):
    service.simulators.control(latency_ms=SLOW_MS)
    page = visit()
    page.get_by_label("Seconds to wait at most").fill("0")
    page.get_by_role("button", name="Send", exact=True).click()

    expect_reply(page, "Waiting", "Kafka has the task")
    expect(page.locator("#curl")).to_contain_text("-H 'Prefer: wait=0'")
    expect_reply(page, "Done", r"Stored as row \d+")


def test_failures_are_told_in_words(visit, service):
    unavailable = {"kind": "status", "status": 503, "when": "916 1"}
    service.simulators.control(faults=[unavailable, {"kind": "content_filter", "provider": "gpt"}])
    page = visit()

    send(page, "gpt", "forbidden")
    expect_reply(page, "Failed", "The task is rejected")
    expect(page.locator("#record-value")).to_contain_text("forbidden")
    expect(page.get_by_role("button", name="Send again")).to_be_hidden()

    send(page, "phone", "8 916 1")
    expect_reply(page, "Failed", "The provider does not answer")
    expect(page.locator("#reply-text")).to_contain_text("Try again in 5 seconds")

    send(page, "gpt", "\x01" * 100_000)
    expect_reply(page, "Failed", "The task is too large")
    expect(page.locator("#no-record")).to_have_text("The task did not reach Kafka.")

    titles = last_tasks(page).locator(".before").all_text_contents()
    assert titles == ["The task is too large", "The provider does not answer", "The task is rejected"]


def test_all_fields_are_checked_at_once_and_nothing_is_sent(visit, service):
    page = visit(url=service.guarded.url)
    problems = page.locator(".problem:visible")
    requests = []
    page.on("request", lambda request: requests.append(request.url))

    page.get_by_label("Data").fill("  ")
    page.get_by_label("task_id").fill("canary-7d1f")
    page.get_by_label("Idempotency key").fill("ключ")
    page.get_by_label("Seconds to wait at most").fill("soon")
    page.get_by_role("button", name="Send", exact=True).click()

    assert problems.all_text_contents() == [
        "Paste a token.",
        "Write something.",
        "A whole number.",
        "1 to 255 visible ASCII characters, without spaces.",
        "A whole number of seconds, at most 9999.",
    ]
    expect(page.get_by_label("Bearer token")).to_be_focused()
    for name in ("Data", "task_id", "Idempotency key", "Seconds to wait at most"):
        expect(page.get_by_label(name)).to_have_attribute("aria-invalid", "true")

    page.get_by_label("Bearer token").fill("two words")
    page.get_by_label("Data").fill("8" * 257)
    page.get_by_label("task_id").fill("9007199254740992")
    page.get_by_label("Idempotency key").fill("k" * 256)
    page.get_by_label("Respond at once").check()
    assert problems.count() == 0, "a problem goes when its field is edited"
    page.get_by_role("button", name="Send", exact=True).click()

    assert problems.all_text_contents() == [
        "A token has only visible ASCII characters, and no spaces.",
        "At most 256 characters.",
        "A whole number from -9007199254740991 to 9007199254740991.",
        "1 to 255 visible ASCII characters, without spaces.",
    ]
    page.get_by_label("gpt", exact=True).check()
    expect(page.locator("#data-problem")).to_be_hidden()
    assert requests == []
    expect(last_tasks(page)).to_have_count(0)


def test_the_page_refuses_no_number_that_the_gateway_takes(visit):
    page = visit()

    for number, shown in (("-9007199254740991", "-9007199254740991"), ("007", "7"), ("-0", "0")):
        page.get_by_label("task_id").fill(number)
        send(page)
        expect(page.locator("#reply-task")).to_have_text(f"phone, task_id {shown}")
        expect_reply(page, "Done", r"Stored as row \d+")


def test_each_task_gets_a_key_of_its_own_and_the_same_task_sent_again_keeps_it(visit, service):
    page = visit()
    key = page.get_by_label("Idempotency key")
    first = key.input_value()
    assert re.fullmatch(r"try-[0-9a-f]{24}", first)

    send(page)
    expect_reply(page, "Done", r"Stored as row \d+")
    row = page.locator("#reply-row").text_content()
    expect(page.locator("#curl")).to_contain_text(f"Idempotency-Key: {first}")
    expect(key).not_to_have_value(first)
    send(page)
    expect(page.locator("#reply-row")).not_to_have_text(row)  # the example tried twice is two tasks

    page.get_by_label("A new key for each task").uncheck()
    kept = key.input_value()
    send(page)
    expect_reply(page, "Done", r"Stored as row \d+")
    expect(page.locator("#reply-task")).to_have_text("phone, task_id 3")
    row = page.locator("#reply-row").text_content()
    send(page)
    expect(page.locator("#reply-task")).to_have_text("phone, task_id 4")
    expect(page.locator("#reply-row")).to_have_text(row)
    expect(key).to_have_value(kept)

    page.get_by_label("A new key for each task").check()
    expect(key).not_to_have_value(kept)
    key.fill("my-own")
    expect(page.get_by_label("A new key for each task")).not_to_be_checked()


def test_after_a_failure_the_same_task_is_sent_again_with_its_key_and_paid_for_once(visit, service):
    page = visit()
    key = page.get_by_label("Idempotency key")
    page.route("**/tasks", lambda route: (route.fetch(), route.abort()))  # the request arrives, its reply is lost
    first = key.input_value()
    send(page)
    expect_reply(page, "Unknown", "The gateway cannot be reached")
    expect(page.locator("#reply-text")).to_contain_text("safe to send it again with the same idempotency key")
    expect(key).to_have_value(first)
    expect(page.get_by_label("task_id")).to_have_value("1")
    page.unroute("**/tasks")

    page.get_by_role("button", name="Send again").click()

    expect_reply(page, "Done", r"Stored as row \d+")
    expect(page.locator("#curl")).to_contain_text(f"Idempotency-Key: {first}")
    assert service.simulators.calls("phone") == 1
    expect(key).not_to_have_value(first)
    expect(page.get_by_label("task_id")).to_have_value("2")

    page.context.set_offline(True)
    second = key.input_value()
    send(page)
    expect_reply(page, "Unknown", "The gateway cannot be reached")
    expect(key).to_have_value(second)
    page.get_by_label("Data").fill("8 916 823 34 55")
    expect(key).not_to_have_value(second)  # this is another task


def test_without_a_key_the_page_warns_of_sending_again(visit, service):
    service.simulators.control(faults=[{"kind": "status", "status": 503}])
    page = visit()
    page.get_by_label("Idempotency key").fill("")

    send(page)

    expect_reply(page, "Failed", "The provider does not answer")
    expect(page.locator("#curl")).not_to_contain_text("Idempotency-Key")
    expect(page.locator("#reply-text")).to_contain_text("sent again, it may be done and paid for twice")
    expect(page.locator("#reply-text")).not_to_contain_text("Try again")
    expect(page.get_by_role("button", name="Send again")).to_be_hidden()
    page.context.set_offline(True)
    send(page)
    expect_reply(page, "Unknown", "The gateway cannot be reached")
    expect(page.locator("#reply-text")).not_to_contain_text("safe")


def test_a_task_of_the_list_can_be_opened_and_its_ids_copied(visit):
    page = visit()
    rows = []
    for _ in range(2):
        send(page)
        expect_reply(page, "Done", r"Stored as row \d+")
        rows.append(page.locator("#reply-row").text_content())
    expect(page.locator("#reply-row")).to_have_text(rows[1])
    older = last_tasks(page).nth(1)

    older.get_by_role("button", name="Show the reply to phone, task_id 1").click()
    expect(page.locator("#reply-row")).to_have_text(rows[0])
    expect(page.locator("#reply-heading")).to_be_focused()
    expect(page.locator("#record-value")).to_contain_text('"task_id": 1')
    for name, selector in (("row id", ".id"), ("correlation id", "code")):
        older.get_by_role("button", name=re.compile(rf"^Copy\s+the\s+{name}$")).click()
        expect(older.get_by_text("Copied")).to_have_count(1)
        assert page.evaluate("navigator.clipboard.readText()") == older.locator(selector).text_content()
        expect(older.get_by_text("Copied")).to_have_count(0)

    page.reload()
    expect(page.locator("#reply-row")).to_have_text(rows[1])
    older.get_by_role("button", name=re.compile("Show the reply")).press("Enter")
    expect(page.locator("#reply-row")).to_have_text(rows[0])
    expect(page.locator("#sql")).to_contain_text(f"WHERE id = {rows[0]};")
    expect(page.locator("#curl")).to_be_hidden()  # the data is not stored
    expect(page.locator("#record")).to_be_hidden()


def test_a_gateway_that_cannot_be_reached_is_told_and_asked_again(visit, service):
    service.simulators.control(latency_ms=SLOW_MS)
    page = visit()
    send(page, answer="Respond at once")
    expect_reply(page, "Waiting", "Kafka has the task")

    page.context.set_offline(True)
    expect(page.locator("#reply-detail")).to_have_text("The gateway cannot be reached", timeout=30_000)
    page.context.set_offline(False)
    expect_reply(page, "Done", r"Stored as row \d+")

    page.context.set_offline(True)
    send(page)
    expect_reply(page, "Unknown", "The gateway cannot be reached")
    expect(page.locator("#no-record")).to_have_text("It is not known whether Kafka has the task.")


@pytest.mark.parametrize("answer", [{"status": 502, "body": "<h1>Bad Gateway</h1>"}, {"status": 200, "body": "{}"}])
def test_an_answer_of_something_in_between_is_not_taken_for_the_gateways(visit, answer):
    page = visit()
    page.route("**/tasks", lambda route: route.fulfill(**answer))

    send(page)

    expect_reply(page, "Unknown", "The reply is not from the gateway")


def test_a_refusal_that_the_page_does_not_know_is_told_as_the_gateway_tells_it(visit):
    page = visit()
    body = json.dumps({"status": 418, "detail": "the detail", "error_code": "of_a_later_version"})
    page.route("**/tasks", lambda route: route.fulfill(status=418, body=body))

    send(page)

    expect_reply(page, "Failed", "The gateway refuses this")
    expect(page.locator("#reply-detail")).to_have_text("the detail")


def test_a_gateway_that_asks_for_tokens_gets_the_one_that_is_typed_and_the_page_keeps_it_nowhere(visit, service):
    service.simulators.control(latency_ms=SLOW_MS)
    page = visit(url=service.guarded.url)
    page.get_by_label("Bearer token").fill("canary-token")
    send(page)
    expect_reply(page, "Failed", "needs a valid token")
    expect(page.locator("#no-record")).to_have_text("The task did not reach Kafka.")

    token = Tokens(SecretStr(SECRET_KEY)).make("alice", 1, time.time())
    page.get_by_label("Bearer token").fill(token)
    page.get_by_label("Idempotency key").fill("mine")
    send(page, answer="Respond at once")
    expect_reply(page, "Done", r"Stored as row \d+")
    expect(page.locator("#curl")).to_contain_text('"Authorization: Bearer $TOKEN"')
    expect(page.locator("#record-headers")).to_contain_text("idempotency_key: (SHA-256 of")
    expect(page.locator("#record-headers")).not_to_contain_text("integration_awaited_until")
    row = page.locator("#reply-row").text_content()
    by_hand = subprocess.run(
        ["bash", "-c", page.locator("#curl").text_content()],
        env={**os.environ, "TOKEN": token},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    location = re.search(r"location: (\S+)", by_hand.stdout)[1]
    bearer = {"Authorization": f"Bearer {token}"}
    until(lambda: service.guarded.client.get(location, headers=bearer).status_code == 200, "the same by hand")
    assert service.guarded.client.get(location, headers=bearer).json()["id"] == int(row)

    assert token not in page.content()
    page.reload()
    expect(page.get_by_label("Bearer token")).to_have_value("")
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert token not in kept and "canary-token" not in kept


def test_a_gateway_that_asks_for_no_tokens_has_no_field_for_one(visit):
    expect(visit().get_by_label("Bearer token")).to_be_hidden()


def test_the_last_tasks_survive_a_reload_hold_no_data_and_can_be_forgotten(visit):
    page = visit()
    page.get_by_label("Idempotency key").fill("canary-key")
    send(page, data="8 916 canary-data 823 34 54")
    expect_reply(page, "Done", r"Stored as row \d+")
    shown = last_tasks(page).first.text_content()

    page.reload()

    expect(last_tasks(page)).to_have_count(1)
    assert last_tasks(page).first.text_content() == shown
    expect(page.get_by_label("task_id")).to_have_value("2")
    assert "canary" not in page.evaluate("JSON.stringify(localStorage)")
    page.get_by_role("button", name="Clear the list").click()
    expect(last_tasks(page)).to_have_count(0)
    assert "canary" not in page.evaluate("JSON.stringify(localStorage)")
    page.reload()
    expect(page.get_by_text("None yet.")).to_be_visible()


def test_the_last_tasks_are_20_at_most_and_what_is_no_list_is_none(visit):
    page = visit()
    old = {
        "at": 0,
        "task_type": "phone",
        "task_id": "7",
        "state": "done",
        "id": 1,
        "code": None,
        "status": 200,
        "ms": 5,
    }
    tasks = [{**old, "key": str(number)} for number in range(30)]

    page.evaluate("tasks => localStorage.setItem('integration-service.tasks', tasks)", json.dumps(tasks))
    page.reload()
    expect(last_tasks(page)).to_have_count(20)
    send(page)
    expect_reply(page, "Done", r"Stored as row \d+")
    expect(last_tasks(page)).to_have_count(20)
    expect(last_tasks(page).first).to_contain_text("phone, task_id 8")

    strange = [{**old, "key": "1", "at": 1e300}, {**old, "key": "2", "task_id": "x"}, {**old, "key": "3", "state": "x"}]
    for junk in ('{"a', "null", '[null, 1, {"key": "x"}]', json.dumps(strange)):
        page.evaluate("junk => localStorage.setItem('integration-service.tasks', junk)", junk)
        page.reload()
        expect(page.get_by_text("None yet.")).to_be_visible()


def test_a_task_older_than_the_gateway_remembers_and_one_left_before_its_answer_are_told(visit):
    page = visit()
    old = {"at": time.time() * 1000, "task_type": "phone", "task_id": "7", "id": None, "code": None, "ms": 5}
    tasks = [
        {**old, "key": "1", "state": "working", "correlation_id": new_correlation_id(0.0)},
        {**old, "key": "2", "state": "sending", "correlation_id": None},
    ]

    page.evaluate("tasks => localStorage.setItem('integration-service.tasks', tasks)", json.dumps(tasks))
    page.reload()

    expect(last_tasks(page).nth(0)).to_contain_text("no longer knows this task")
    expect(last_tasks(page).nth(1)).to_contain_text("left before the reply")


def test_a_browser_that_keeps_nothing_is_told_so_and_works(visit):
    page = visit()
    refuse = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('', 'SecurityError') }})"
    page.add_init_script(refuse)

    page.reload()
    send(page)

    expect_reply(page, "Done", r"Stored as row \d+")
    expect(last_tasks(page)).to_have_count(1)
    expect(page.get_by_text("This browser does not let the page store anything")).to_be_visible()


@pytest.mark.parametrize("data", [NASTY, "Ы" * 60_000], ids=["nasty", "longer than an argument may be"])
def test_the_curl_line_and_the_record_are_what_was_sent(visit, service, data):
    page = visit()
    page.get_by_label("Idempotency key").fill(f"it's-$mine`-{len(data)}")
    send(page, "gpt", data)
    expect_reply(page, "Done", r"Stored as row \d+")
    row = json.loads(page.locator("#reply-row").text_content())

    key, value, headers = service.record(page.locator("#reply-correlation").text_content())
    assert page.locator("#record-value").text_content().encode() == value
    assert page.locator("#record-topic").text_content() == service.topics.name
    shown = dict(line.split(": ", 1) for line in page.locator("#record-headers").text_content().splitlines())
    assert headers.pop("integration_awaited_until").isdigit()
    assert shown.pop("integration_awaited_until").startswith("(until when the gateway waits")
    assert (key, headers) == (None, shown)
    assert json.loads(value) == {"task_id": 1, "task_type": "gpt", "data": data}

    ran = subprocess.run(["bash", "-c", page.locator("#curl").text_content()], capture_output=True, check=True)
    answer_headers, _, body = ran.stdout.partition(b"\r\n\r\n")
    assert b"200 OK" in answer_headers
    assert json.loads(body) == {"task_id": 1, "id": row}, "the same key, type and data: the same row"
    [by_curl] = re.findall(rb"x-correlation-id: (\S+)", answer_headers)
    assert service.record(by_curl.decode())[1].rstrip(b"\n") == value
    assert service.simulators.requests()["answered"] == {data: 1}


def test_what_is_copied_is_what_is_shown_with_and_without_a_clipboard(visit):
    page = visit()
    send(page, "gpt", NASTY)
    expect_reply(page, "Done", r"Stored as row \d+")

    for name, source in (
        ("row id", "#reply-row"),
        ("correlation id", "#reply-correlation"),
        ("SQL line", "#sql"),
        ("curl line", "#curl"),
        ("topic", "#record-topic"),
        ("headers", "#record-headers"),
        ("value", "#record-value"),
    ):
        page.locator(".column").get_by_role("button", name=re.compile(rf"^Copy\s+the\s+{name}$")).click()
        expect(page.locator(f"button[data-copies='{source[1:]}']")).to_contain_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == page.locator(source).text_content()

    page.evaluate("navigator.clipboard.writeText('')")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.locator("button[data-copies='curl']").click()
    page.get_by_label("Data").fill("")
    page.get_by_label("Data").press("Control+V")
    expect(page.get_by_label("Data")).to_have_value(page.locator("#curl").text_content())


def test_data_that_is_html_is_shown_as_text(visit):
    page = visit()
    html = '<img src="/x" onerror="alert(1)"><script>alert(2)</script>'

    send(page, "gpt", html)

    expect_reply(page, "Done", r"Stored as row \d+")
    assert html in json.loads(page.locator("#record-value").text_content())["data"]
    assert page.locator("main img, main script").count() == 0


def test_the_keyboard_is_enough_and_shows_where_it_is(visit):
    page = visit()
    focused = "document.activeElement.name || document.activeElement.id || document.activeElement.textContent.trim()"
    has_outline = """() => [document.activeElement, document.activeElement.nextElementSibling].some(
        (element) => element && getComputedStyle(element).outlineStyle === 'solid')"""

    order = []
    while "send" not in order:
        page.keyboard.press("Tab")
        order.append(page.evaluate(focused))
        assert page.evaluate(has_outline), f"no outline at {order[-1]}"
    assert order[7:] == [
        "task_type",
        "data",
        "task_id",
        "idempotency_key",
        "new_key",
        "answer",
        "seconds",
        "send",
    ]

    page.keyboard.press("Enter")
    expect_reply(page, "Done", r"Stored as row \d+")
    assert page.evaluate(focused) == "send"
    for _ in range(7):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("info@example.com")
    page.keyboard.press("Control+Enter")

    expect(last_tasks(page)).to_have_count(2)
    expect(last_tasks(page).first).to_contain_text(re.compile(r"email, task_id 2.*row \d+", re.S))


def test_a_second_press_while_a_task_is_on_its_way_sends_nothing(visit, service):
    service.simulators.control(latency_ms=500)
    page = visit()

    page.get_by_role("button", name="Send", exact=True).dblclick()

    expect_reply(page, "Done", r"Stored as row \d+")
    assert service.simulators.calls("phone") == 1


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_nothing_has_to_be_scrolled_sideways_and_the_reply_comes_into_view(visit, width):
    page = visit(viewport={"width": width, "height": 640})
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) == 0

    page.get_by_label("Idempotency key").fill("k" * 255)
    send(page, "gpt", "unbroken" * 1000)
    expect_reply(page, "Done", r"Stored as row \d+")
    expect(page.locator("#reply-title")).to_be_in_viewport()
    assert page.evaluate(overflow) == 0

    page.get_by_label("task_id").fill("9" * 5000)
    send(page, "gpt", "")
    expect(page.locator(".problem:visible")).to_have_count(2)
    assert page.evaluate(overflow) == 0


def test_on_a_touch_screen_fingers_have_room_and_no_keys_are_named(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    send(page)
    expect_reply(page, "Done", r"Stored as row \d+")

    controls = "nav a, button, label:has([type=radio], [type=checkbox]), textarea, input:not([type])"
    heights = page.locator(controls).evaluate_all("""(all) => all.filter((one) => one.checkVisibility())
        .map((one) => [one.textContent, one.getBoundingClientRect().height])""")

    assert len(heights) > 20
    assert [(text, height) for text, height in heights if height < 44] == []
    expect(page.get_by_text("sends as well")).to_be_hidden()


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_axe_finds_nothing_where_a_token_is_missing(visit, service, color_scheme):
    page = visit(
        url=service.guarded.url, color_scheme=color_scheme, bypass_csp=True, viewport={"width": 320, "height": 800}
    )

    page.get_by_role("button", name="Send", exact=True).click()

    expect(page.locator("#token-problem")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_axe_finds_nothing_empty_with_a_reply_at_work_and_with_an_error(visit, service, color_scheme, width):
    page = visit(color_scheme=color_scheme, bypass_csp=True, viewport={"width": width, "height": 800})

    assert violations(page) == []
    send(page, "gpt", "long " * 2000)
    expect_reply(page, "Done", r"Stored as row \d+")
    assert violations(page) == []
    send(page, data="")
    expect(page.locator("#data-problem")).to_be_visible()
    assert violations(page) == []
    service.simulators.control(latency_ms=SLOW_MS)
    send(page, data="8 916 823 34 54", answer="Respond at once")
    expect_reply(page, "Waiting", "Kafka has the task")
    assert violations(page) == []
