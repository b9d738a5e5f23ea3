"""The alert rules, their tests and the scrape configuration, checked by Prometheus's promtool."""

import re
import subprocess

import pytest
import yaml

from sandbox import prometheus as prometheus_module
from sandbox.prometheus import PrometheusMissing, install
from tests.conftest import ROOT

FOLDER = ROOT / "observability"
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
CASES = [
    case
    for test in yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    for case in test["promql_expr_test"]
]


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(prometheus_installed, arguments):
    judged = subprocess.run([install() / "promtool", *arguments], cwd=FOLDER, capture_output=True, text=True)

    assert judged.returncode == 0, judged.stdout + judged.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_is_tested_to_fire_and_not_to_fire(name):
    fires = [bool(case["exp_samples"]) for case in CASES if f'alertname="{name}",alertstate="firing"' in case["expr"]]

    assert set(fires) == {True, False}


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_how_urgent_it_is_what_is_wrong_and_what_to_do_and_names_only_labels_that_it_has(name):
    alert = ALERTS[name]
    [labels] = {
        frozenset(re.findall(r'(\w+)="', sample["labels"]))
        for case in CASES
        for sample in case["exp_samples"]
        if f'alertname="{name}"' in sample["labels"]
    }

    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"].keys() == {"summary", "description"}
    assert set(re.findall(r"\$labels\.(\w+)", str(alert["annotations"]))) <= labels


def test_without_prometheus_and_apt_it_is_said_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(prometheus_module.shutil, "which", lambda _: None)

    with pytest.raises(PrometheusMissing, match="apt-get install prometheus"):
        install()

    assert list((tmp_path / "integration-service").iterdir()) == []
