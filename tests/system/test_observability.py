"""A real Prometheus that scrapes both running programs with the project's configuration, rules and dashboard."""

import contextlib
import json
import math
import re
import subprocess

import pytest
import yaml

from sandbox.prometheus import Prometheus, install
from tests.conftest import ROOT, until

FOLDER = ROOT / "observability"
DASHBOARD = json.loads((FOLDER / "grafana/dashboards/integration-service.json").read_text())
SELECTOR = re.compile(r"\b((?:job:)?integration_[\w:]+|process_\w+|up|ALERTS)\b(\{[^}]*\})?")


@pytest.fixture
def start_prometheus(prometheus_installed, tmp_path):
    """Return a function that starts Prometheus with its configuration, except for the targets and the intervals."""
    with contextlib.ExitStack() as closing:

        def start_prometheus(**programs):
            configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
            configuration["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
            configuration["rule_files"] = [str(FOLDER / name) for name in configuration["rule_files"]]
            for job in configuration["scrape_configs"]:
                del job["dns_sd_configs"]
                targets = [program.url.removeprefix("http://") for program in programs.get(job["job_name"], [])]
                job["static_configs"] = [{"targets": targets}]
            written = tmp_path / "prometheus.yml"
            written.write_text(yaml.safe_dump(configuration))
            prometheus = closing.enter_context(
                contextlib.closing(Prometheus(written, tmp_path / "prometheus", tmp_path))
            )
            prometheus.start()
            return prometheus

        yield start_prometheus


def send_everything(gateway, topics):
    """Send a task of each type, one that its provider rejects, one that fails, and a record that is not a task."""
    for task_type in ("phone", "email", "gpt"):
        assert post(gateway, "fine", task_type) == 200
    assert post(gateway, "rejected") == 422
    assert post(gateway, "failing") == 503
    topics.send(b"no task")
    topics.send_tasks(range(topics.partitions))  # records for each replica


def post(gateway, data, task_type="phone"):
    return gateway.client.post("/tasks", json={"task_id": 1, "task_type": task_type, "data": data}).status_code


REQUESTS, RECORDS = 5, 10
"""Numbers of requests to the gateway and of records on the import topic in `send_everything`."""

BALANCE_RUBLES = 5000.0


def as_grafana_asks(expression):
    """Replace Grafana's variables, with all replicas selected."""
    replaced = expression.replace("$replica", ".*").replace("$__rate_interval", "1m")
    assert "$" not in replaced, expression
    return replaced


def test_every_query_of_the_dashboard_and_of_the_alerts_is_of_metrics_that_are_there(
    topics, simulators, start, start_processor, start_prometheus
):
    simulators.control(
        dadata_balance=BALANCE_RUBLES,
        faults=[
            {"kind": "status", "status": 400, "when": "rejected"},
            {"kind": "status", "status": 503, "when": "failing"},
        ],
    )
    quotas = {"DADATA_REQUESTS_PER_SECOND": 1000, "DADATA_NEW_CONNECTIONS_PER_MINUTE": 1000}
    processors = [start_processor(PROVIDER_ATTEMPTS=1, **quotas) for _ in range(2)]
    gateway = start("gateway")
    prometheus = start_prometheus(processor=processors, gateway=[gateway])

    def scraped():
        requests = prometheus.query('sum(integration_gateway_request_seconds_count{route="/tasks"})')
        return [value for _, value in (*requests, *prometheus.query("sum(integration_tasks_total)"))]

    for rounds in (1, 2):  # a rate needs growth between two scrapes
        send_everything(gateway, topics)
        until(lambda rounds=rounds: scraped() == [rounds * REQUESTS, rounds * RECORDS], "all of it to be scraped")
    until(lambda: prometheus.query('ALERTS{alertname="DeadLetters",alertstate="firing"}'), "dead letters to be told")
    rules = until(lambda: evaluated(prometheus), "every rule to be evaluated")

    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    assert at_last(lambda: panels_without_data(prometheus)) == []
    assert at_last(lambda: selectors_without_data(prometheus, rules)) == []
    replicas = {program.url.removeprefix("http://") for program in (*processors, gateway)}
    until(lambda: shown_by_variable(prometheus) == replicas, "every replica to be a choice")
    assert made_up_series(prometheus) == []
    assert metrics_not_seen(prometheus) == []
    for fleet in (
        'sum(integration_quota_slots{provider="dadata"}) == 1000',
        "0 < max_over_time(sum(integration_new_connections)[10m:1s]) < 100",
        "sum(integration_new_connections + integration_new_connections_left) == 900",  # the rest is for probes
        f"{BALANCE_RUBLES - 100} < sum(integration_provider_balance_rubles) <= {BALANCE_RUBLES}",
        f"0 < sum(integration_provider_remaining_today) <= {BALANCE_RUBLES / 0.2}",
    ):
        until(lambda fleet=fleet: prometheus.query(fleet), fleet)
    assert [promtools_complaints(program) for program in (processors[0], gateway)] == ["", ""]


def at_last(faults):
    """Wait until there are no faults and return those that remain. A late scrape makes a target's series stale."""
    with contextlib.suppress(AssertionError):
        until(lambda: not faults(), "no fault", seconds=20)
    return faults()


def evaluated(prometheus):
    """Return the rules once each was evaluated and every recording rule has recorded something; None before."""
    rules = prometheus.rules()
    recorded = [prometheus.query(rule["name"]) for rule in rules if rule["type"] == "recording"]
    return rules if all(recorded) and all(rule["health"] != "unknown" for rule in rules) else None


def dashboard_targets():
    """Yield (panel title, query as Grafana sends it, labels that its legend shows)."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            yield panel["title"], as_grafana_asks(target["expr"]), labels


def panels_without_data(prometheus):
    """Return the dashboard's queries that return no value, or series without the labels of their legends."""
    without = []
    for title, query, shown in dashboard_targets():
        series = prometheus.query(query)
        answered = any(not math.isnan(value) for _, value in series)
        if not answered or not all(labels.get(label) for labels, _ in series for label in shown):
            without.append((title, query, series))
    return without


def selectors_without_data(prometheus, rules):
    """Return the selectors of the rules and the dashboard that match no series.

    A rule as a whole returns nothing when all is well, and also when its metric does not exist.
    """
    queries = [rule["query"] for rule in rules] + [query for _, query, _ in dashboard_targets()]
    selectors = {name + matchers for query in queries for name, matchers in SELECTOR.findall(query)}
    return [selector for selector in sorted(selectors) if not prometheus.query(selector)]


def shown_by_variable(prometheus):
    """Return the values that the dashboard's variable offers."""
    [variable] = DASHBOARD["templating"]["list"]
    [(selector, label)] = re.findall(r"^label_values\((.*), (\w+)\)$", variable["definition"])
    return {labels[label] for labels, _ in prometheus.query(selector)}


def made_up_series(prometheus):
    """Return the input series of the alerts' tests that no program exposes with these labels."""
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    made_up = []
    for series in {series["series"] for test in tests for series in test["input_series"]}:
        name, _, matchers = series.partition("{")
        labels = {"__name__", *re.findall(r'(\w+)="', matchers)}
        if not any(labels == seen.keys() for seen, _ in prometheus.query(name)):
            made_up.append(series)
    return made_up


def metrics_not_seen(prometheus):
    """Return the metrics of the README's list that no program exposes."""
    table = (FOLDER / "README.md").read_text().partition("\n## Metrics")[2]
    listed = re.findall(r"^\| (integration_\w+) \| (\w+) \|", table, re.M)
    names = [f"{name}_count" if kind == "histogram" else name for name, kind in listed]
    return [name for name in names if not prometheus.query(name)]


def promtools_complaints(program):
    """Return promtool's complaints about the names, types and help texts of the program's metrics."""
    command, text = [install() / "promtool", "check", "metrics"], program.client.get("/metrics").text
    judged = subprocess.run(command, input=text, capture_output=True, text=True)
    return judged.stdout + judged.stderr


def test_an_operator_is_told_at_once_that_an_account_is_refused_and_that_it_is_mended(
    topics, simulators, start_processor, start_prometheus
):
    simulators.control(faults=[{"kind": "status", "status": 403}])
    processor = start_processor()
    prometheus = start_prometheus(processor=[processor])
    topics.send_tasks(range(1))

    def firing():
        return prometheus.query('ALERTS{alertname="AccountRefused",alertstate="firing"}')

    [(labels, _)] = until(firing, "the operator to be woken")
    assert (labels["severity"], labels["provider"]) == ("page", "dadata")

    simulators.control(faults=[])
    topics.send_tasks(range(1, 2))

    until(lambda: not firing(), "it to be over")
