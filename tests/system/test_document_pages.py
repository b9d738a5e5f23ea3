"""/docs and /asyncapi in a real browser, on a real gateway."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.accessibility import violations

BROKEN_WORDS = """() => {
    const broken = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; (text = texts.nextNode()); ) {
        if (!text.parentElement.checkVisibility()) continue;
        for (const { 0: word, index } of text.data.matchAll(/\\w+/gu)) {
            const range = document.createRange();
            range.setStart(text, index);
            range.setEnd(text, index + word.length);
            const lines = new Set([...range.getClientRects()].map((rectangle) => Math.round(rectangle.top)));
            if (lines.size > 1) broken.push(word);
        }
    }
    return broken;
}"""
"""Returns the words that are on two lines."""


@pytest.fixture
def open_page(browser):
    """Return a function that opens a page of a gateway; at the end, check that no page had an error."""
    contexts, troubles = [], []

    def open_page(gateway, path, **options):
        context = browser.new_context(base_url=gateway.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI))"
        )
        page.on("console", lambda line: line.type in ("error", "warning") and troubles.append(line.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("requestfailed", lambda request: troubles.append(f"failed: {request.url}"))
        page.on(
            "request",
            lambda request: request.url.startswith((gateway.url, "data:")) or troubles.append(f"to: {request.url}"),
        )
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def test_docs_show_every_operation_and_send_a_task(open_page, start, start_processor, database):
    start_processor()
    gateway = start("gateway")
    page = open_page(gateway, "/docs")

    expect(loaded(page).locator("#operations-tasks-postTask textarea")).to_have_value(re.compile('"phone"'))
    page.locator("#operations-tag-pages").click()
    operations = page.locator(".opblock")
    expect(operations).to_have_count(len(gateway.client.get("/openapi.json").json()["paths"]))
    with page.expect_response("**/tasks") as answered:
        page.locator("#operations-tasks-postTask .execute").click()

    answer = answered.value
    assert answer.status == 200
    assert answer.json() == {"task_id": 42, "id": next(iter(database.rows()))}
    sent = answer.request.all_headers()
    assert not {"prefer", "idempotency-key", "x-request-id", "traceparent", "tracestate"} & sent.keys()
    expect(page.locator("#operations-tasks-postTask .live-responses-table")).to_contain_text('"task_id": 42')


def test_asyncapi_shows_every_topic_operation_message_and_header(open_page, start, topics):
    gateway = start("gateway")
    document = gateway.client.get("/asyncapi.json").json()

    page = open_page(gateway, "/asyncapi")

    expect(page.locator("main h2")).to_contain_text(document["info"]["version"])
    shown = page.locator("main").inner_text()
    for topic in (topics.name, topics.results, topics.dead_letters):
        assert topic in shown
    for name in document["operations"]:
        assert name in shown
    for message in document["components"]["messages"].values():
        assert message["title"] in shown
        assert all(name in shown for name in message["headers"]["properties"])
    assert "undefined" not in shown
    page.locator("#noTask summary").click()
    expect(page.locator("#noTask pre")).to_contain_text('"task_type": "fax"')


def test_a_document_that_cannot_be_read_is_told_on_the_page(browser, start):
    gateway = start("gateway")
    page = browser.new_page(base_url=gateway.url)
    page.route("**/asyncapi.json", lambda route: route.fulfill(status=503, body=json.dumps({})))

    page.goto("/asyncapi")

    expect(page.get_by_role("alert")).to_have_text("asyncapi.json cannot be read. Reload the page.")
    page.close()


@pytest.mark.parametrize("path", ["/docs", "/asyncapi"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_a_phone_and_links_to_the_others(open_page, start, path, scheme):
    gateway = start("gateway")

    page = loaded(open_page(gateway, path, viewport={"width": 375, "height": 800}, color_scheme=scheme))

    expect(page.locator("main h2, .info .title").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    for name, place in (("Try it", "/"), ("REST API", "/docs"), ("Kafka API", "/asyncapi")):
        expect(page.get_by_role("navigation").get_by_role("link", name=name)).to_have_attribute("href", place)


def loaded(page):
    """Wait until the page has its document, and open all its details."""
    # A generous timeout: Swagger UI takes a while on a busy machine.
    expect(page.locator("#noTask, #operations-tasks-postTask textarea")).to_be_visible(timeout=30_000)
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    return page


@pytest.mark.parametrize("path", ["/docs", "/asyncapi"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page, start, path, scheme):
    secret = "a-key-of-at-least-32-bytes-for-tests"
    gateway = start("gateway", GATEWAY_AUTH="required", SECRET_KEY=secret)
    page = loaded(open_page(gateway, path, color_scheme=scheme, bypass_csp=True))

    assert violations(page) == []


@pytest.mark.parametrize("path", ["/docs", "/asyncapi"])
def test_a_phone_breaks_no_word_and_has_room_for_fingers(open_page, start, path):
    gateway = start("gateway")

    page = loaded(open_page(gateway, path, viewport={"width": 390, "height": 844}, has_touch=True))

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(BROKEN_WORDS) == []
    controls = "nav a, summary, button, select, input"
    heights = page.locator(controls).evaluate_all("""(all) => all.filter((one) => one.checkVisibility())
        .map((one) => [one.textContent, one.getBoundingClientRect().height])""")
    assert len(heights) > 7
    assert [(text, height) for text, height in heights if height < 44] == []


@pytest.mark.parametrize("address", ["localhost:9092", ""])
def test_asyncapi_begins_with_the_topics_and_addresses_that_work(open_page, start, topics, address):
    page = loaded(open_page(start("gateway", KAFKA_PUBLIC_BOOTSTRAP_SERVERS=address), "/asyncapi"))

    first = page.locator("main section").first
    expect(first).to_contain_text(address or "Ask the operators of the service for Kafka's addresses.")
    for topic in (topics.name, topics.results, topics.dead_letters):
        expect(first).to_contain_text(topic)
    shown = page.locator("main").inner_text()
    assert "{" not in shown.replace("{1,255}", "").split("Examples")[0]
    for header in ("kafka_correlationId", "X-Request-ID", "traceparent", "kafka_dlt-original-topic-id"):
        assert page.get_by_role("cell", name=re.compile(rf"^{header}( optional)?$")).count() == 1, "said once"
    contents = page.get_by_role("navigation", name="Contents").get_by_role("link")
    assert contents.all_text_contents()[:2] == [f"Topic {topics.name}", f"Topic {topics.results}"]
    for link in contents.all():
        expect(page.locator(link.get_attribute("href"))).to_be_visible()
