"""Checks of observability/ and its services in docker-compose.yaml that need nothing to run."""

import json
import re

import pytest
import yaml

from gateway.settings import GatewaySettings
from processor.settings import ProcessorSettings
from tests.conftest import ROOT

FOLDER = ROOT / "observability"
DASHBOARD = json.loads((FOLDER / "grafana/dashboards/integration-service.json").read_text())
PANELS = DASHBOARD["panels"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES = {
    name: service for name, service in COMPOSE["services"].items() if "observability" in service.get("profiles", [])
}
[DATASOURCE] = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
CONFIGURATION = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
ALERTS = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


@pytest.mark.parametrize("panel", GRAPHS, ids=lambda panel: panel["title"])
def test_every_panel_has_a_title_a_description_a_unit_and_our_datasource(panel):
    assert panel["title"] and panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for asked in (panel, *panel["targets"]):
        assert asked["datasource"] == {"type": DATASOURCE["type"], "uid": DATASOURCE["uid"]}
    if len(panel["targets"]) > 1 or panel["type"] == "timeseries":
        assert all(target["legendFormat"] for target in panel["targets"])


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    ids = [panel["id"] for panel in PANELS]
    cells = [
        (place["x"] + column, place["y"] + line)
        for place in (panel["gridPos"] for panel in PANELS)
        for column in range(place["w"])
        for line in range(place["h"])
    ]

    assert len(set(ids)) == len(ids)
    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) < 24


def test_every_query_is_of_the_replicas_that_are_chosen():
    for panel in GRAPHS:
        for target in panel["targets"]:
            assert "$replica" in target["expr"] or "ALERTS" in target["expr"], target["expr"]


def test_prometheus_scrapes_the_programs_where_compose_runs_them():
    targets = {
        (job["job_name"], search["names"][0], search["type"], search["port"])
        for job in CONFIGURATION["scrape_configs"]
        for search in job["dns_sd_configs"]
    }

    ports = {
        "gateway": GatewaySettings.model_fields["gateway_port"].default,
        "processor": ProcessorSettings.model_fields["processor_http_port"].default,
    }
    assert targets == {(name, name, "A", port) for name, port in ports.items()}
    assert ports.keys() <= COMPOSE["services"].keys()
    assert "ports" not in COMPOSE["services"]["processor"]
    assert DATASOURCE["url"] == "http://prometheus:9090"
    assert DATASOURCE["jsonData"]["timeInterval"] == CONFIGURATION["global"]["scrape_interval"]


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_the_containers_have_an_exact_version(name):
    assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_grafana_has_no_account_that_a_default_password_opens():
    environment = SERVICES["grafana"]["environment"]

    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"


def test_grafana_finds_the_dashboard():
    [provider] = yaml.safe_load((FOLDER / "grafana/provisioning/dashboards/dashboards.yml").read_text())["providers"]
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    shown = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert mounted["./observability/grafana/dashboards"] == provider["options"]["path"]
    assert shown == f"{provider['options']['path']}/integration-service.json"


def test_the_readme_lists_every_alert_with_its_severity_and_no_other():
    readme = (FOLDER / "README.md").read_text()

    rows = re.findall(r"^\| ([A-Z]\w+) \| (page|ticket) \|", readme, re.M)

    assert rows == [(alert["alert"], alert["labels"]["severity"]) for alert in ALERTS]
