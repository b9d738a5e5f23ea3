"""Allowed imports: gateway -> shared <- processor, and each third-party package only where it belongs."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BELONGS = {
    "quixstreams": {
        "processor/apply_async/operator.py",
        "processor/apply_async/quix.py",
        "processor/pipeline.py",
        "processor/application.py",
        "processor/service.py",
    },
    "psycopg": {
        "processor/store/postgres.py",
        "processor/redrive/put_back.py",
        "processor/fleet.py",
        "processor/audit/postgres.py",
    },
    "httpx": {"processor/enrich/"},
    "httptools": {"gateway/http1.py", "processor/enrich/providers/wire.py"},
    "confluent_kafka": {"gateway/kafka/", "processor/", "shared/topics.py"},
    "fastapi": {"gateway/"},
    "starlette": {"gateway/"},
    "uvicorn": {"gateway/http1.py", "gateway/service.py"},
    "typer": {"shared/command_line.py", "gateway/command_line.py", "processor/command_line.py"},
    "rich": {"processor/console.py", "processor/audit/command.py", "processor/redrive/command.py"},
    # These are imported only if traces are turned on: see test_traces.py.
    "requests": {"shared/traces.py"},
    "opentelemetry": {"shared/traces.py", "gateway/traces.py", "processor/traces.py"},
}


def imports(path):
    """Return the top-level packages that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module.partition(".")[0]


FILES = sorted(path for package in ("shared", "gateway", "processor") for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_it_may(path):
    name = str(path.relative_to(ROOT))
    package = name.partition("/")[0]

    for imported in set(imports(path)) - set(sys.stdlib_module_names):
        assert imported not in ("sandbox", "tests")
        if imported in ("gateway", "processor"):
            assert imported == package, f"{name} imports {imported}"
        if package == "shared":
            allowed = (
                "shared",
                "pydantic",
                "pydantic_settings",
                "structlog",
                "typer",
                "opentelemetry",
                "requests",
                "confluent_kafka",
            )
            assert imported in allowed, f"{name} imports {imported}"
        if imported in BELONGS:
            assert any(name.startswith(place) for place in BELONGS[imported]), f"{name} imports {imported}"


def imported_modules(path):
    """Return the paths of the project's own modules that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            found = ROOT / f"{name.replace('.', '/')}.py"
            if found in FILES:
                yield found


def test_no_file_imports_itself_by_way_of_others():
    left = {path: set(imported_modules(path)) for path in FILES}

    while free := [path for path, imported in left.items() if not imported & left.keys()]:
        for path in free:
            del left[path]

    assert left == {}, "these are or need a circle"


MAY_IMPORT = {
    "processor/record.py": {"shared/messages.py"},
    "processor/apply_async": {"processor/record.py", "shared"},
    "processor/enrich": {"processor/record.py", "processor/metrics.py", "processor/settings.py", "shared"},
    "processor/store": {"processor/record.py", "processor/metrics.py", "shared"},
    "processor/audit": {"processor/settings.py", "processor/console.py", "processor/store", "shared"},
    "processor/fleet.py": {"processor/record.py", "processor/enrich", "processor/store"},
    "processor/redrive": {
        "processor/record.py",
        "processor/console.py",
        "processor/outcome.py",
        "processor/settings.py",
        "processor/topics.py",
        "processor/store",
        "shared",
    },
    "gateway/access": {"shared"},
}
"""What each part below the composition roots may import besides its own files: no step knows another."""


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_only_what_is_below_it(part):
    allowed = [ROOT / place for place in (part, *MAY_IMPORT[part])]
    for path in FILES:
        if path.is_relative_to(ROOT / part):
            for imported in imported_modules(path):
                assert any(imported.is_relative_to(place) for place in allowed), f"{path} imports {imported}"
