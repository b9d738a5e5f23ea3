"""What the documents say exists, and what exists is in the documents."""

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from gateway.settings import GatewaySettings
from processor.settings import ProcessorSettings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
FIELDS = {
    name.upper(): field for name, field in (GatewaySettings.model_fields | ProcessorSettings.model_fields).items()
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
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    rows = {
        name: (meaning, value)
        for name, meaning, value in re.findall(r"^\| ([A-Z_]+) \| \w+ \| (.*) \| (.*) \|$", table, re.M)
    }

    assert rows == {name: (field.description, default(field)) for name, field in FIELDS.items()}


def test_the_example_environment_has_every_setting_and_no_other():
    names = re.findall(r"^(?:# )?([A-Z_]+)=", ENV_EXAMPLE, re.M)

    assert sorted(names) == sorted([*FIELDS, "COMPOSE_PROFILES"])


def test_what_the_example_environment_comments_out_are_the_defaults():
    for name, value in re.findall(r"^# ([A-Z_]+)=(.*)$", ENV_EXAMPLE, re.M):
        if name in ("KAFKA_DEAD_LETTER_TOPIC", "LOG_FORMAT"):  # what they come to, where nothing is set
            continue
        assert value == default(FIELDS[name]), name


def test_every_test_that_the_readme_names_exists():
    tests = "\n".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))

    for name in re.findall(r"`(test_\w+)`", README):
        assert f"def {name}(" in tests, name


def test_every_make_target_that_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text()

    for target in re.findall(r"make ([\w-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("package", ["processor", "gateway", "shared", "sandbox"])
def test_every_file_that_the_readme_names_exists(package):
    for path in re.findall(rf"`({package}/[\w./-]*)`", README):
        assert (ROOT / path).exists(), path
