"""The pages for people: how they are served, and that they agree with the service."""

import asyncio
import re
from html.parser import HTMLParser

import httpx
import pytest

from gateway.app import create_app
from gateway.documents.pages import ASSETS, STRICT_POLICY, task_type_choices
from gateway.metrics import REQUEST_SECONDS
from gateway.problems import ERRORS
from gateway.settings import GatewaySettings
from shared.messages import IDEMPOTENCY_KEY_CHARACTERS_MAX, TASK_DATA, TASK_ID_MAX, TASK_TYPES, ErrorCode

FILES = sorted(f"/assets/{path.name}" for path in ASSETS.glob("*.*") if path.suffix != ".html")
PATHS = ["/", "/docs", "/asyncapi"]
PAGE = (ASSETS / "try.html").read_text()


@pytest.fixture
def ask(monkeypatch):
    """Return a function that sends a request to an application without Kafka; no page needs it."""
    for name in GatewaySettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("KAFKA_IMPORT_TOPIC", "the-import.topic")
    monkeypatch.setenv("KAFKA_RESULT_TOPIC", "results")
    app = create_app(GatewaySettings(), kafka=None)

    def ask(method, path, **headers):
        async def request():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(request())

    return ask


class Tags(HTMLParser):
    """The start tags of a page: [(name, attributes)]."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.found.append((name, dict(attributes)))


@pytest.mark.parametrize("path", ["/", *FILES])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_served_is_under_the_strict_policy_and_asked_for_anew(ask, method, path):
    answer = ask(method, path)

    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == STRICT_POLICY
    assert "unsafe" not in STRICT_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize("path", FILES)
def test_a_browser_that_has_the_file_is_not_sent_it_again(ask, path):
    etag = ask("GET", path).headers["etag"]

    answer = ask("GET", path, **{"If-None-Match": etag})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["cache-control"] == "no-cache"
    assert ask("GET", path, **{"If-None-Match": '"of another version"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/assets",
        "/assets/",
        "/assets/none.js",
        "/assets/../pages.py",
        "/assets/..%2fpages.py",
        "/assets/%2e%2e/pages.py",
        "/assets/..%5cpages.py",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets/%00",
        f"/assets/{'a' * 5000}",
    ],
)
def test_what_is_no_asset_is_a_problem_and_nothing_beside_the_folder_is_reached(ask, path):
    answer = ask("GET", path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error_code"] == "not_found"


@pytest.mark.parametrize("path", ["/", "/assets/try.js"])
def test_pages_are_only_read(ask, path):
    answer = ask("POST", path)

    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert "GET" in answer.headers["allow"]


def test_metrics_count_all_assets_under_one_route(ask):
    def routes():
        [requests] = REQUEST_SECONDS.collect()
        return {sample.labels["route"]: sample.value for sample in requests.samples if sample.name.endswith("_count")}

    REQUEST_SECONDS.clear()
    ask("GET", "/assets/try.js")
    assert routes() == {"/assets/{path:path}": 1}

    ask("GET", "/assets/canary-7d1f.js")
    ask("POST", "/assets/try.js")
    ask("GET", "/assets")

    assert routes().keys() == {"/assets/{path:path}", "none"}


def test_the_page_shows_the_import_topic_and_no_brace_is_left(ask):
    page = ask("GET", "/").text

    assert '<meta name="import-topic" content="the-import.topic">' in page
    assert not re.search(r"[{}]", page)


@pytest.mark.parametrize("path", PATHS)
def test_all_pages_have_one_header_which_marks_where_one_is(ask, path):
    def header_of(path):
        return re.search("<header>.*</header>", ask("GET", path).text, re.S)[0]

    links = [attributes for name, attributes in Tags(header_of(path)).found if name == "a"]

    assert [link["href"] for link in links if "aria-current" in link] == [path]
    assert header_of(path).replace(' aria-current="page"', "") == header_of("/").replace(' aria-current="page"', "")
    assert {*PATHS, "/openapi.json", "/asyncapi.json"} <= {link["href"] for link in links}


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_nothing_inline_and_all_that_it_loads_is_served_here(ask, path):
    tags = Tags(ask("GET", path).text).found

    loaded = [
        attributes.get("src") or attributes["href"] for name, attributes in tags if name in ("script", "link", "img")
    ]
    assert loaded
    for path in loaded:
        assert path.startswith("/assets/") and ask("GET", path).status_code == 200, path
    for name, attributes in tags:
        assert name != "style" and not any(key == "style" or key.startswith("on") for key in attributes), name


def test_every_word_of_a_stranger_is_set_as_text():
    for path in ASSETS.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", path.read_text()), path


def test_the_page_knows_every_type_and_its_limit_of_data():
    choices = [attributes for tag, attributes in Tags(task_type_choices()).found if tag == "input"]

    assert "{task_types}" in PAGE
    assert ["checked" in choice for choice in choices] == [True, False, False]

    assert [choice["value"] for choice in choices] == list(TASK_TYPES)
    limits = {choice["value"]: int(choice["data-characters-max"]) for choice in choices}
    assert limits == {task_type: data.characters_max for task_type, data in TASK_DATA.items()}
    assert all(0 < len(choice["data-example"]) <= 256 for choice in choices)


def test_the_page_checks_a_task_with_the_services_limits():
    check = (ASSETS / "try-check.js").read_text()

    assert f"[!-~]{{0,{IDEMPOTENCY_KEY_CHARACTERS_MAX}}}$" in check
    assert f"1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} visible" in check
    assert TASK_ID_MAX == 2**53 - 1, "JavaScript's Number.MAX_SAFE_INTEGER"


def test_the_page_has_words_for_every_error_code():
    words = re.findall(r"^  (\w+): \[$", (ASSETS / "try-words.js").read_text(), re.M)
    failed = re.search(r"TASK_FAILED = new Set\((.*?)\)", (ASSETS / "try-gateway.js").read_text(), re.S)[1]

    assert ERRORS.keys() - {"method_not_allowed"} <= set(words)  # the page sends no request with a wrong method
    assert set(re.findall(r"\w+", failed)) == set(ErrorCode)
