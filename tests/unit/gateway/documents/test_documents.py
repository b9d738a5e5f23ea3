"""The documents and their pages, as the gateway serves them."""

import re

import pytest

from gateway.documents.pages import ASSETS
from tests.unit.gateway import test_rest as test_gateway_rest

bench = test_gateway_rest.bench

PAGES = ["/docs", "/asyncapi"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_may_run_no_script_but_its_own_files_and_reach_nobody_else(bench, path):
    answer = bench().request("GET", path)

    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe-eval" not in str(policy)
    assert "//" not in str(policy)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?! src=)|<style| on\w+=| style=", answer.text)


@pytest.mark.parametrize("path", PAGES)
def test_whatever_a_page_refers_to_is_served_by_the_gateway(bench, path):
    run = bench()
    places = re.findall(r'(?:src|href)="([^"]*)"', run.request("GET", path).text)

    assert {"/", "/docs", "/asyncapi", "/openapi.json", "/asyncapi.json"} <= set(places)
    for place in places:
        if place.startswith("/assets/"):
            assert (ASSETS / place.removeprefix("/assets/")).is_file()
        else:
            assert run.request("GET", place).status_code == 200


def test_each_document_is_made_once(bench, monkeypatch):
    run = bench()
    first = [run.request("GET", path).content for path in ("/openapi.json", "/asyncapi.json")]
    monkeypatch.delattr("gateway.documents.documents.openapi_document")
    monkeypatch.delattr("gateway.documents.documents.asyncapi_document")

    again = [run.request("GET", path).content for path in ("/openapi.json", "/asyncapi.json")]

    assert again == first


def test_the_documents_refer_to_each_other(bench):
    run = bench()

    assert "(/asyncapi)" in run.request("GET", "/openapi.json").json()["info"]["description"]
    assert "POST /tasks" in run.request("GET", "/asyncapi.json").json()["info"]["description"]
