"""Checks of deploy/ that need no Helm; tests/integration/test_chart.py checks what Helm renders."""

import re

import yaml

from gateway.settings import GatewaySettings
from processor.settings import ProcessorSettings
from tests.conftest import ROOT

CHART = ROOT / "deploy" / "chart"
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SANDBOX = (ROOT / "deploy" / "sandbox.yaml").read_text()
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
SHARED = {"alerts.yml": "observability/alerts.yml", "edge": "edge", "sql": "sql"}


def test_the_chart_has_no_copies_of_the_projects_files():
    there = {path.name: path for path in (CHART / "files").iterdir()}

    assert all(path.is_symlink() for path in there.values())
    assert {name: path.resolve() for name, path in there.items()} == {
        name: ROOT / source for name, source in SHARED.items()
    }


def test_processors_scale_to_as_many_replicas_as_the_topic_has_partitions():
    partitions = ProcessorSettings.model_fields["kafka_topic_partitions"].default

    assert DEFAULTS["processor"]["autoscaling"]["maxReplicas"] == partitions


def test_the_page_leads_from_nothing_to_a_reply_in_ten_commands():
    commands = re.findall(r"^    (\S.*)$", PAGE.partition("first reply")[2].partition("\n## With")[0], re.M)

    assert len(commands) == 10
    built = {image for command in commands for image in re.findall(r"-t (\S+)", command)}
    [loaded] = [set(re.findall(r"\S+:\d+", command)) for command in commands if command.startswith("kind load")]
    simulators = {image for image in re.findall(r"image: (\S+)", SANDBOX) if image.startswith("integration-service")}
    assert built == loaded == {DEFAULTS["images"]["gateway"], DEFAULTS["images"]["processor"], *simulators}
    ports = {GatewaySettings.model_fields["gateway_port"].default}
    assert {int(port) for port in re.findall(r"localhost:(\d+)", "\n".join(commands))} == ports


def test_the_page_says_what_to_do_about_every_alert_and_no_other():
    groups = yaml.safe_load((ROOT / "observability" / "alerts.yml").read_text())["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]

    assert re.findall(r"^\| ([A-Z]\w+) \| \S", PAGE.partition("## Alerts")[2], re.M) == alerts
