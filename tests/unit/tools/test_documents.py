"""The documents agree with the project: what they name exists, and what exists is documented."""

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from gateway import metrics as gateway_metrics
from gateway.settings import GatewaySettings
from processor import metrics as processor_metrics
from processor.lag import Lag
from processor.settings import ProcessorSettings
from shared.messages import AWAITED_UNTIL_HEADER

ROOT = Path(__file__).parents[3]
README = "\n".join(path.read_text() for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))))
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
FIELDS = {
    name.upper(): field for name, field in (GatewaySettings.model_fields | ProcessorSettings.model_fields).items()
}
FILES = {f"{name}_FILE" for name, field in FIELDS.items() if "SecretStr" in str(field.annotation)}
# What only the compose file reads: name -> default.
COMPOSE_SETTINGS = {
    name: value
    for name, value in re.findall(r"\$\{([A-Z_]+):-([^{}]*)\}", (ROOT / "docker-compose.yaml").read_text())
    if name not in {*FIELDS, *FILES, "POSTGRES_NAME"}
}


def default(field):
    """Return a setting's default as a person writes it."""
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None:
        return ""
    if isinstance(field.default, tuple):
        return ",".join(field.default)
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def test_the_readme_lists_every_setting_with_its_meaning_and_default_and_no_other():
    table = (ROOT / "docs" / "settings.md").read_text().partition("\n## ")[0]
    rows = {
        name: (meaning, value)
        for name, meaning, value in re.findall(r"^\| ([A-Z_]+) \| \w+ \| (.*) \| (.*) \|$", table, re.M)
    }

    assert rows == {name: (field.description, default(field)) for name, field in FIELDS.items()}


def test_the_settings_of_the_compose_file_are_listed_with_their_defaults_and_no_other():
    page = (ROOT / "docs" / "settings.md").read_text()
    table = page.partition("\n## In the compose file\n")[2].partition("\n## ")[0]

    rows = dict(re.findall(r"^\| ([A-Z_]+) \| [^|]+ \| (.*) \|$", table, re.M))

    assert len(COMPOSE_SETTINGS) > 5
    assert rows == COMPOSE_SETTINGS | {"COMPOSE_PROFILES": ""}


def test_the_example_environment_has_every_setting_and_no_other():
    names = re.findall(r"^(?:# )?([A-Z_]+)=", ENV_EXAMPLE, re.M)

    assert sorted(names) == sorted([*FIELDS, *COMPOSE_SETTINGS, "COMPOSE_PROFILES"])


def test_what_the_example_environment_comments_out_are_the_defaults():
    for name, value in re.findall(r"^# ([A-Z_]+)=(.*)$", ENV_EXAMPLE, re.M):
        if name in ("KAFKA_DEAD_LETTER_TOPIC", "LOG_FORMAT"):  # shown: what applies if they are unset
            continue
        assert value == (default(FIELDS[name]) if name in FIELDS else COMPOSE_SETTINGS[name]), name


@pytest.mark.parametrize("document", ["docs/guarantees.md", "SECURITY.md"])
def test_every_test_that_a_document_names_exists(document):
    tests = "\n".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    names = re.findall(r"`(test_\w+)`", (ROOT / document).read_text())

    assert len(names) > 20
    for name in names:
        assert f"def {name}(" in tests, name


def test_every_risk_of_the_owasp_api_security_top_10_has_tests():
    rows = re.findall(r"^\| API(\d+) [^|]+\| [^|]+ \| (`test_.+`) \|$", (ROOT / "SECURITY.md").read_text(), re.M)

    assert [int(number) for number, _ in rows] == list(range(1, 11))


def test_every_make_target_that_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text()

    for target in re.findall(r"make ([\w-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("package", ["processor", "gateway", "shared", "sandbox", "deploy"])
def test_every_file_that_the_readme_names_exists(package):
    for path in re.findall(rf"`({package}/[\w./-]*)`", README):
        assert (ROOT / path).exists(), path


def exposed():
    """Return each metric of the service as Prometheus sees it: name -> (type, labels)."""
    lag = Lag(dict)
    collectors = [value for module in (gateway_metrics, processor_metrics) for value in vars(module).values()]
    metrics = {}
    for collector in [*collectors, lag]:
        if hasattr(collector, "collect") and not isinstance(collector, type):
            for family in collector.collect():
                labels = getattr(collector, "_labelnames", None) or getattr(family, "_labelnames", ())
                counter, states = family.type == "counter", family.type == "stateset"
                name = f"{family.name}_total" if counter else family.name
                metrics[name] = ("gauge" if states else family.type, {*labels, *([family.name] if states else ())})
    return metrics


def test_the_list_of_metrics_has_every_metric_with_its_type_and_labels_and_no_other():
    table = (ROOT / "observability" / "README.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]

    listed = {
        name: (kind, set(filter(None, labels.split(", "))))
        for name, kind, labels in re.findall(r"^\| (integration_\w+) \| (\w+) \| (.*?) ?\| ", table, re.M)
    }

    assert listed == exposed()


@pytest.mark.parametrize(
    "document",
    [
        *("README.md", "SECURITY.md", "tests/README.md", "bench/README.md", "observability/README.md"),
        *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
    ],
)
def test_what_a_document_names_exists(document):
    text = (ROOT / document).read_text()
    here = (ROOT / document).parent

    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) + re.findall(r'src(?:set)?="([^"]+)"', text):
        assert (here / link).exists(), link
    rules = {f"{name}_{end}" for name in exposed() for end in ("sum", "count", "bucket")} | exposed().keys()
    others = (AWAITED_UNTIL_HEADER, "integration_service")
    for metric in re.findall(r"(?<![\w:/-])integration_\w+", text):
        assert metric in rules or metric.startswith(others), metric
    known = {*FIELDS, *FILES, *COMPOSE_SETTINGS, "POSTGRES_NAME", *re.findall(r"OTEL_[A-Z_]+", text)}
    for name in re.findall(r"\b(?:KAFKA|POSTGRES|DADATA|YANDEXGPT|GATEWAY|OTEL|LOG|EDGE)_[A-Z_]+\b", text):
        assert name in known, name


def test_the_readme_is_short_and_leads_to_every_page():
    readme = (ROOT / "README.md").read_text()

    assert len(readme.splitlines()) <= 150
    for path in ROOT.glob("docs/*.md"):
        assert f"(docs/{path.name})" in readme
