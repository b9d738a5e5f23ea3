"""The rights of each container as docker-compose.yaml declares them; tests/compose checks running containers."""

import re

import pytest
import yaml

from gateway.settings import GatewaySettings
from processor.settings import ProcessorSettings
from tests.conftest import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES = COMPOSE["services"]
WRITES_TO_ITS_IMAGE = {"kafka"}  # it writes its configuration when it starts
RUNS_WHAT_IT_UNPACKS = {"kafka-ui"}  # it unpacks native libraries for compression
PROGRAMS = {"gateway": GatewaySettings, "processor": ProcessorSettings}


def secrets(settings_class):
    """Return the names of the program's keys and passwords."""
    fields = settings_class.model_fields.items()
    return {name.upper() for name, field in fields if "SecretStr" in str(field.annotation)}


def networks(name):
    return set(SERVICES[name].get("networks", ["default"]))


def reached_by(name):
    """Return which services share a network with it."""
    return {other for other in SERVICES if other != name and networks(other) & networks(name)}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_privileges_and_cannot_gain_any(name):
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "userns_mode"} & SERVICES[name].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_limits(name):
    assert re.fullmatch(r"\d+[mg]", SERVICES[name]["mem_limit"])
    assert 0 < SERVICES[name]["pids_limit"] <= 1000


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - WRITES_TO_ITS_IMAGE))
def test_a_container_is_read_only_and_its_scratch_folder_small_and_not_to_run_programs_from(name):
    assert SERVICES[name]["read_only"] is True
    for mount in SERVICES[name]["tmpfs"]:
        options = set(mount.partition(":")[2].split(","))
        assert any(re.fullmatch(r"size=\d+m", option) for option in options)
        assert {"nosuid", "nodev"} <= options
        assert "noexec" in options or name in RUNS_WHAT_IT_UNPACKS


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_gets_the_projects_files_read_only_and_volumes_that_are_declared(name):
    for volume in SERVICES[name].get("volumes", []):
        source, _, target = volume.partition(":")
        if source.startswith("./"):
            assert (ROOT / source).exists()
            assert target.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_published_is_for_this_machine_only(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_every_published_port_can_be_moved_by_a_variable_of_its_own():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    moved = [re.fullmatch(r"127\.0\.0\.1:\$\{([A-Z_]+):-(\d+)\}:\d+", port) for port in published]

    assert len(published) == 5
    assert all(moved), published
    assert len({match[1] for match in moved}) == len({match[2] for match in moved}) == len(published)


def test_kafka_tells_its_clients_on_this_machine_the_port_that_is_published():
    [port] = SERVICES["kafka"]["ports"]
    published, inside = port.removeprefix("127.0.0.1:").rsplit(":", 1)

    assert f"HOST://:{inside}," in SERVICES["kafka"]["environment"]["KAFKA_LISTENERS"]
    assert SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith(f",HOST://localhost:{published}")


@pytest.mark.parametrize(("name", "variable"), [("processor", "PROCESSORS"), ("gateway", "GATEWAYS")])
def test_the_number_of_replicas_is_the_users_also_at_the_next_start(name, variable):
    assert SERVICES[name]["deploy"]["replicas"] == f"${{{variable}:-1}}"
    assert not {"ports", "container_name"} & SERVICES[name].keys()  # they allow one replica only


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_of_ours_does_not_run_as_root(name):
    build = SERVICES[name].get("build")
    if build is not None:
        assert re.search(r"^USER 10001:10001$", (ROOT / build["dockerfile"]).read_text(), re.M)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_not_given_the_secrets_of_the_other(name):
    all_secrets = set().union(*map(secrets, PROGRAMS.values()))

    kept_away = {setting for setting, value in SERVICES[name]["environment"].items() if value == ""}

    assert kept_away == all_secrets - secrets(PROGRAMS[name])


def test_only_the_programs_are_given_the_users_environment_and_only_the_database_its_password():
    given = {name for name, service in SERVICES.items() if "env_file" in service}
    interpolated = {name for name, service in SERVICES.items() if "${" in str(service.get("environment"))}

    assert given == PROGRAMS.keys()
    assert interpolated == {"db", "edge", "gateway", "kafka"}
    for name, variables in {
        "kafka": {"KAFKA_HOST_PORT"},
        "gateway": {"KAFKA_PUBLIC_BOOTSTRAP_SERVERS", "KAFKA_HOST_PORT"},
    }.items():
        assert set(re.findall(r"\$\{(\w+)", str(SERVICES[name]["environment"]))) == variables
    assert not set().union(*map(secrets, PROGRAMS.values())) & SERVICES["edge"]["environment"].keys()
    assert "POSTGRES_PASSWORD" in secrets(ProcessorSettings) & SERVICES["db"]["environment"].keys()


def test_a_container_reaches_only_whom_it_talks_to():
    assert reached_by("db") == {"processor"}
    assert reached_by("simulators") == {"processor"}
    assert reached_by("edge") == {"gateway"}
    assert reached_by("grafana") == {"prometheus"}
    assert reached_by("prometheus") == {"gateway", "processor", "grafana"}
    assert reached_by("kafka") == {"gateway", "processor", "kafka-ui"}


def test_only_what_is_published_or_asks_providers_has_a_way_out():
    internal = {name for name, network in COMPOSE["networks"].items() if network and network.get("internal")}

    has_a_way_out = {name for name in SERVICES if networks(name) - internal}

    published = {name for name in SERVICES if "ports" in SERVICES[name]}
    assert has_a_way_out == published | {"processor", "gateway"}  # they send to OpenTelemetry's collector


def test_callers_reach_the_edge_only():
    assert "ports" not in SERVICES["gateway"]
    assert "ports" in SERVICES["edge"]


def test_the_simulators_image_has_every_module_that_they_import():
    copied = set(re.findall(r"sandbox/(\w+)\.py", (ROOT / "sandbox" / "Dockerfile").read_text()))

    imported = re.findall(r"^from sandbox\.(\w+) import", (ROOT / "sandbox" / "simulators.py").read_text(), re.M)

    assert {"simulators", *imported} <= copied
