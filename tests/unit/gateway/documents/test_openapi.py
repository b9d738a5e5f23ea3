"""The OpenAPI document matches the gateway's answers: nothing in one is missing in the other."""

import json
from concurrent.futures import Future

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.app import EveryRequest
from gateway.documents.openapi import openapi_document
from gateway.kafka.tasks_out import NotConfirmed, NotTaken
from gateway.problems import BODY_BYTES_MAX, EDGE_ERRORS
from gateway.replies import Reply
from gateway.settings import GatewaySettings
from shared.messages import TASK_DATA, TASK_ID_MAX, TASK_TYPES, TRACE_HEADERS, ErrorCode, InvalidTask, decode_task
from tests.documented import assert_documented, assert_fits, operation_of, resolved, validator
from tests.unit.gateway import test_rest as test_gateway_rest

TASK, RESULT, bench = test_gateway_rest.TASK, test_gateway_rest.RESULT, test_gateway_rest.bench


@pytest.fixture(scope="module")
def document():
    settings = GatewaySettings(kafka_import_topic="tasks", kafka_result_topic="results")
    return openapi_document("Integration service", "1.0.0", settings)


def operations(document):
    """Yield (method, path, operation)."""
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            yield method.upper(), path, item[method]


def parameters(document):
    """Yield every parameter of every operation."""
    for _, path, operation in operations(document):
        for parameter in [*document["paths"][path]["parameters"], *operation.get("parameters", [])]:
            yield resolved(parameter, document)


def bodies(document):
    """Yield (location, media type object) for the body of every request and answer."""
    for method, path, operation in operations(document):
        if "requestBody" in operation:
            yield f"{method} {path}", operation["requestBody"]["content"]["application/json"]
        for status, response in operation["responses"].items():
            for content in resolved(response, document)["content"].values():
                yield f"{method} {path} {status}", content


def test_the_document_is_valid_openapi_3_1(document):
    OpenAPIV31SpecValidator(document).validate()

    assert document["openapi"] == "3.1.0"


def test_a_gateway_that_asks_for_tokens_says_so_for_the_operations_of_tasks_and_no_other(bench, document):
    asked = guarded(bench).request("GET", "/openapi.json").json()

    OpenAPIV31SpecValidator(asked).validate()
    assert {(path, str(operation.get("security"))) for _, path, operation in operations(asked)} == {
        (path, "[{'bearer': []}]" if path.startswith("/tasks") else "None") for path in asked["paths"]
    }
    assert all("security" not in operation for _, _, operation in operations(document))


@pytest.mark.parametrize("auth", [False, True], ids=["without tokens", "with tokens"])
def test_a_linter_of_openapi_finds_no_error(bench, document, auth):
    document = guarded(bench).request("GET", "/openapi.json").json() if auth else document
    text = json.dumps({part: document[part] for part in document if not part.startswith("x-")})

    assert all(server["url"] for server in document["servers"]) and document["servers"]
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        asks_for_a_token = operation.get("security", document["security"]) != []
        assert ("401" in operation["responses"]) == asks_for_a_token, where
        assert any(status.startswith("4") for status in operation["responses"]), where
        assert any(status.startswith("2") for status in operation["responses"]), where
        named = [part["name"] for part in operation.get("parameters", []) if part["in"] == "path"]
        assert [f"{{{name}}}" for name in named] == [part for part in path.split("/") if part.startswith("{")], where
    for kind, components in document["components"].items():
        for name in components:
            is_used = f'{{"{name}": []}}' if kind == "securitySchemes" else f'"#/components/{kind}/{name}"'
            assert is_used in text, f"{kind}/{name} is used nowhere"


def test_every_example_fits_its_schema(document):
    count = 0
    for _, content in bodies(document):
        for example in content.get("examples", {}).values():
            assert_fits(example["value"], content["schema"], document)
            count += 1
    headers = document["components"]["headers"].values()
    schemas = [part["schema"] for part in [*parameters(document), *headers]]
    schemas += [
        property_
        for schema in document["components"]["schemas"].values()
        for property_ in schema["properties"].values()
    ]
    for schema in schemas:
        for example in schema.get("examples", []):
            assert_fits(example, schema, document)
            count += 1

    assert count > 40


def test_the_examples_of_a_problem_are_named_by_their_error_code(document):
    for where, content in bodies(document):
        if content["schema"] == {"$ref": "#/components/schemas/Problem"}:
            assert content["examples"], where
            for name, example in content["examples"].items():
                assert example["value"]["error_code"] == name
                assert where.endswith(str(example["value"]["status"]))


def test_every_route_is_an_operation_and_every_operation_a_route(bench, document):
    fastapis_own = bench().app.openapi()["paths"]

    assert {(method, path) for method, path, _ in operations(document)} == {
        (method.upper(), path) for path, item in fastapis_own.items() for method in item
    }
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in document["tags"]}
    assert all(set(operation["tags"]) <= tags and operation["summary"] for _, _, operation in operations(document))


def answers_to_posts(bench):
    """Yield one answer for each way in which a POST can end."""
    run = bench(WAITING_REPLIES_MAX=1)
    yield run.post(headers={"X-Request-ID": "mine"})
    yield run.post(headers={"Prefer": "respond-async", "Idempotency-Key": "mine"})
    yield run.post(b" " * (BODY_BYTES_MAX + 1))
    yield run.post(headers={"Content-Type": "text/plain"})
    yield run.post(b"{}")
    yield run.post(headers={"Idempotency-Key": "two words"})
    for code in ErrorCode:
        run.kafka.reply = Reply(None, code, "the reason")
        yield run.post()
    run.kafka.reply = None
    yield run.post()
    yield run.post(headers={"Prefer": "wait=0"})

    async def while_another_waits(client):
        replies = run.app.state.gateway.replies
        replies.expect("another", Future())
        answer = await client.post("/tasks", json=TASK)
        replies.remove("another")
        return answer

    yield run.run(while_another_waits)
    yield from guarded(bench).run(lambda client: refused(client, "POST", "/tasks"))
    for run.kafka.taken in (NotTaken("it is refused"), NotConfirmed()):
        yield run.post()
    run.kafka.absent = ["Kafka"]
    yield run.post()


def answers_to_gets(bench):
    """Yield one answer for each way in which a GET of a task can end."""

    async def ask(client):
        run.kafka.reply = None
        accepted = await client.post("/tasks", json=TASK, headers={"Prefer": "respond-async"})
        answers = [await client.get("/tasks/mine"), await client.get(accepted.headers["location"])]
        for reply in [*(Reply(None, code, "the reason") for code in ErrorCode), RESULT]:
            run.kafka.replied([(accepted.headers["x-correlation-id"], reply)])
            answers.append(await client.get(accepted.headers["location"]))
        return answers

    run = bench()
    yield from run.run(ask)
    yield from guarded(bench).run(lambda client: refused(client, "GET", "/tasks/mine"))


def guarded(bench):
    """Return an application that requires tokens and accepts one request per caller."""
    return bench(GATEWAY_AUTH="required", SECRET_KEY=test_gateway_rest.SECRET_KEY, CALLER_REQUESTS_PER_MINUTE=1)


async def refused(client, method, path):
    """Return the answers to a request without a token and to a request over the limit."""
    unknown = await client.request(method, path)
    await client.request(method, path, headers=test_gateway_rest.token("alice"))
    return unknown, await client.request(method, path, headers=test_gateway_rest.token("alice"))


def answers_of_others(bench, document):
    """Yield one answer for each way in which the other operations can end."""
    run = bench()
    for method, path, _ in operations(document):
        if not path.startswith("/tasks"):
            yield run.request(method, path)
            yield run.run(lambda _, method=method, path=path: request_to_a_bug(method, path))
    run.kafka.ended = ["the thread of replies"]
    yield run.request("GET", "/health/live")
    yield run.request("GET", "/health/ready")


async def request_to_a_bug(method, path):
    """Send the request to an application that raises on every request."""

    async def bug(scope, receive, send):
        raise RuntimeError

    async with httpx.AsyncClient(transport=httpx.ASGITransport(EveryRequest(bug)), base_url="http://bug") as client:
        return await client.request(method, path)


def test_every_answer_is_documented_and_every_documented_answer_is_given(bench):
    document = guarded(bench).request("GET", "/openapi.json").json()
    given = set()
    for answer in [*answers_to_posts(bench), *answers_to_gets(bench), *answers_of_others(bench, document)]:
        assert_documented(document, answer)
        operation = operation_of(document, answer.request.method, answer.request.url.path)
        is_problem = answer.headers["content-type"] == "application/problem+json"
        given.add((*operation, str(answer.status_code), answer.json()["error_code"] if is_problem else None))

    documented = set()
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if response in [{"$ref": f"#/components/responses/{code}"} for code in EDGE_ERRORS]:
                continue  # nginx answers these: see test_edge.py
            [(media_type, content)] = resolved(response, document)["content"].items()
            is_problem = media_type == "application/problem+json"
            documented |= {(method, path, status, code) for code in (content["examples"] if is_problem else [None])}
    assert given == documented


def test_every_error_code_of_the_document_is_given_and_no_other(bench):
    document = guarded(bench).request("GET", "/openapi.json").json()
    answers = [*answers_to_posts(bench), *answers_to_gets(bench)]
    answers += [bench().request("GET", "/nowhere"), bench().request("DELETE", "/tasks")]
    for answer in answers:
        assert_documented(document, answer)

    given = {answer.json()["error_code"] for answer in answers if "problem" in answer.headers["content-type"]}
    problem = document["components"]["schemas"]["Problem"]["properties"]
    assert given == set(problem["error_code"]["enum"]) - EDGE_ERRORS.keys()
    given = {answer.status_code for answer in answers if "problem" in answer.headers["content-type"]}
    assert given | {error.status for error in EDGE_ERRORS.values()} == set(problem["status"]["enum"])


def test_the_examples_that_the_gateway_makes_by_itself_say_what_it_says(bench, document):
    answers = [*answers_to_posts(bench), *answers_to_gets(bench)]
    details = {answer.json()["detail"] for answer in answers if "problem" in answer.headers["content-type"]}

    for path, method in (("/tasks", "post"), ("/tasks/{correlation_id}", "get")):
        for response in document["paths"][path][method]["responses"].values():
            for content in resolved(response, document)["content"].values():
                for name, example in content["examples"].items():
                    if name in {code.value for code in ErrorCode} or "detail" not in example["value"]:
                        continue  # the provider words its own details
                    if name in EDGE_ERRORS:
                        continue  # nginx answers these
                    assert example["value"]["detail"] in details


def test_the_headers_that_the_gateway_reads_are_parameters_with_its_own_limits(bench, document):
    run = bench()
    longest = {"X-Request-ID": 128, "Idempotency-Key": 255, **TRACE_HEADERS}
    described = {parameter["name"]: parameter for parameter in parameters(document)}

    assert described.keys() == {*longest, "Prefer", "correlation_id"}
    for name, characters in longest.items():
        for value in ("x" * characters, "x" * (characters + 1)):
            run.kafka.sent.clear()
            answer = run.post(headers={name: value})
            is_carried = any(value.encode() in headers.values() for _, headers in run.kafka.sent)
            assert is_carried == (len(value) == characters)
            # The gateway ignores such a value instead of refusing it, so the schema must allow it.
            assert validator(described[name]["schema"], document).is_valid(value) == (answer.status_code != 422)
        assert str(characters) in f"{described[name]['description']} {described[name]['schema']}"


@pytest.mark.parametrize(
    "task",
    [
        TASK,
        *(
            {**TASK, "task_type": task_type, "data": "x" * TASK_DATA[task_type].characters_max}
            for task_type in TASK_TYPES
        ),
        *(
            {**TASK, "task_type": task_type, "data": "я" * (TASK_DATA[task_type].characters_max + 1)}
            for task_type in TASK_TYPES
        ),
        {**TASK, "data": ""},
        {**TASK, "data": None},
        {**TASK, "task_type": "fax"},
        {**TASK, "task_id": TASK_ID_MAX},
        {**TASK, "task_id": -TASK_ID_MAX - 1},
        {**TASK, "task_id": True},
        {**TASK, "task_id": 1.5},
        {**TASK, "more": []},
        {"task_id": 1},
        [],
    ],
    ids=lambda task: repr(task)[:60],
)
def test_the_schema_of_a_task_takes_what_the_service_takes(document, task):
    try:
        decode_task(json.dumps(task).encode())
        is_taken = True
    except InvalidTask:
        is_taken = False

    assert validator({"$ref": "#/components/schemas/Task"}, document).is_valid(task) == is_taken


def test_numbers_in_the_document_are_exact(bench):
    text = bench().request("GET", "/openapi.json").text

    assert str(TASK_ID_MAX) in text
    assert f"{TASK_ID_MAX}.0" not in text
