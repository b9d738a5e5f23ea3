"""Checks of answers and records against the OpenAPI and the AsyncAPI document."""

import re

from jsonschema import Draft202012Validator, FormatChecker

PROBLEM = "application/problem+json"

UNDOCUMENTED_HEADERS = {
    *("content-type", "content-length", "cache-control", "date", "etag", "last-modified", "accept-ranges"),
    *("content-security-policy", "x-content-type-options", "referrer-policy"),
}
"""Headers that HTTP and browsers need, but callers of the service do not."""


def validator(schema, document):
    """Return a validator for a schema of the document; the schema may refer to others in the document."""
    whole = {"allOf": [schema], "components": document["components"]}
    return Draft202012Validator(whole, format_checker=FormatChecker())


def assert_fits(value, schema, document):
    """Check a value against a schema of the document."""
    validator(schema, document).validate(value)


def resolved(part, document):
    """Return a part of the document with its references ($ref) followed."""
    while "$ref" in part:
        target = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name.replace("~1", "/")]
        part = target
    return part


def operation_of(document, method, path):
    """Return a request's (method, path template in the document), or its name in x-other-responses."""
    for template, item in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return (method, template) if method.lower() in item else "no_such_method"
    return "no_such_path"


def before_there_is_a_request(document, answer):
    """Return whether the answer is an error that belongs to no operation."""
    is_problem = answer.headers["content-type"] == PROBLEM
    return is_problem and answer.json()["error_code"] in document["components"]["responses"]


def assert_documented(document, answer):
    """Check that the status, media type, headers and body of an httpx answer are in the OpenAPI document."""
    status, request = str(answer.status_code), answer.request
    operation = operation_of(document, request.method, request.url.path)
    if before_there_is_a_request(document, answer):
        code = answer.json()["error_code"]
        described = document["components"]["responses"][code]
        assert described["content"][PROBLEM]["examples"][code]["value"]["status"] == answer.status_code
    elif isinstance(operation, str):
        described = document["x-other-responses"][operation]
        assert status == {"no_such_path": "404", "no_such_method": "405"}[operation]
    else:
        method, template = operation
        responses = document["paths"][template][method.lower()]["responses"]
        assert status in responses, f"{method} {template} answers {status}, which is not documented"
        described = resolved(responses[status], document)

    media_type = answer.headers["content-type"].partition(";")[0]
    assert list(described["content"]) == [media_type]
    body = answer.json() if media_type.endswith("json") else answer.text
    assert_fits(body, described["content"][media_type]["schema"], document)

    headers = {name.lower(): resolved(header, document) for name, header in described["headers"].items()}
    assert answer.headers.keys() <= headers.keys() | UNDOCUMENTED_HEADERS
    assert answer.headers.keys() >= {name for name, header in headers.items() if header["required"]}
    for name, header in headers.items():
        if name in answer.headers:
            text = answer.headers[name]
            assert_fits(int(text) if header["schema"]["type"] == "integer" else text, header["schema"], document)
