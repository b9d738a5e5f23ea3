"""/docs and /asyncapi in a real browser, on a real gateway."""

import json

import pytest
from playwright.sync_api import expect

from tests.accessibility import violations


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

    operations = page.locator(".opblock")
    expect(operations).to_have_count(len(gateway.client.get("/openapi.json").json()["paths"]))
    page.locator("#operations-tasks-postTask .opblock-summary").click()
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

    expect(page.locator("h1")).to_contain_text(document["info"]["title"])
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

    expect(page.get_by_role("alert")).to_contain_text("status 503")
    page.close()


@pytest.mark.parametrize("path", ["/docs", "/asyncapi"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_a_phone_and_links_to_the_others(open_page, start, path, scheme):
    gateway = start("gateway")

    page = open_page(gateway, path, viewport={"width": 375, "height": 800}, color_scheme=scheme)

    expect(page.locator("main h1, main .info .title").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    for name, place in (("Try it", "/"), ("REST API", "/docs"), ("Kafka API", "/asyncapi")):
        expect(page.get_by_role("navigation").get_by_role("link", name=name)).to_have_attribute("href", place)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_page_of_the_kafka_api(open_page, start, scheme):
    page = open_page(start("gateway"), "/asyncapi", color_scheme=scheme, bypass_csp=True)
    expect(page.locator("main h1")).to_be_visible()

    page.locator("#noTask summary").click()

    assert violations(page) == []
