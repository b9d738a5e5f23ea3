"""The Helm chart, rendered by Helm with its values files; its query and its Job are tried on what they are for."""

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate
import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from gateway.kafka.tasks_out import SEND_SECONDS_MAX
from gateway.service import SHUTDOWN_SECONDS as GATEWAY_SHUTDOWN_SECONDS
from gateway.settings import GatewaySettings
from processor.service import EXIT_SECONDS
from processor.settings import ProcessorSettings
from sandbox.child import NotReady
from sandbox.kafka import install as install_jars
from sandbox.postgres import program
from sandbox.prometheus import install as install_prometheus
from shared.settings import read_settings
from tests.conftest import ROOT, installed
from tests.system.test_kubernetes import MIN_READY_SECONDS

CHART = ROOT / "deploy" / "chart"
VALUES = ROOT / "deploy" / "values"
CLIENTS = ROOT / "tests" / "clients"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
SANDBOX = list(yaml.safe_load_all((ROOT / "deploy" / "sandbox.yaml").read_text()))
CASES = {
    "sandbox": ["sandbox.yaml"],
    "managed": ["managed.yaml"],
    "task types": ["managed.yaml", "task-types.yaml"],
}
KUBERNETES = ("1.30", "1.37")  # the oldest that the chart is for, and the newest whose schemas are installed
PROGRAMS = {"gateway": GatewaySettings, "processor": ProcessorSettings}
SECRETS = {
    name: {field.upper() for field, info in settings.model_fields.items() if "SecretStr" in str(info.annotation)}
    for name, settings in PROGRAMS.items()
}
HOOK = re.compile(r"^ *annotations: \{helm\.sh/hook: .*\n", re.M)


class HelmMissing(NotReady):
    """There is no Helm for this machine."""


class Refused(Exception):
    """Helm does not render the chart; the message has the reason."""


def _find_helm():
    if platform.machine() != "x86_64":
        raise HelmMissing("Helm's library is published for x86_64 only")


@pytest.fixture(scope="session")
def helm(jdk, tmp_path_factory):
    """Return a function that renders the chart with values files (texts or names), and returns the objects.

    Helm's library omits hooks, so the chart that it renders is a copy whose hooks are ordinary objects.
    """
    installed(_find_helm, HelmMissing)
    jars = install_jars(CLIENTS / "helm-pom.xml")
    chart = tmp_path_factory.mktemp("helm") / "chart"
    shutil.copytree(CHART, chart)
    hooks = 0
    for template in (chart / "templates").iterdir():
        text, count = HOOK.subn("", template.read_text())
        template.write_text(text)
        hooks += count
    assert hooks == 3

    def helm(*values, chart=chart):
        files = []
        for value in values:
            if value.endswith(".yaml"):
                files.append(VALUES / value)
            else:
                files.append(tmp_path_factory.mktemp("values") / "values.yaml")
                files[-1].write_text(value)
        command = ["java", "-cp", f"{jars}/*", CLIENTS / "Helm.java", chart, *files]
        rendered = subprocess.run(command, text=True, capture_output=True, check=False)
        if rendered.returncode != 0:
            raise Refused(rendered.stderr)
        return [each for each in yaml.safe_load_all(rendered.stdout) if each]

    return helm


@pytest.fixture(scope="session")
def cases(helm):
    return {name: helm(*values) for name, values in CASES.items()}


@pytest.fixture(params=CASES)
def objects(cases, request):
    """The objects of one case after another."""
    return cases[request.param]


def of_kind(objects, *kinds):
    """Return the objects of these kinds by name, without the release's own name."""
    return {each["metadata"]["name"].removeprefix("is-"): each for each in objects if each["kind"] in kinds}


def pods(objects):
    """Return the templates of all pods."""
    return {name: each["spec"]["template"] for name, each in of_kind(objects, "Deployment", "Job").items()}


def container(pod):
    [only] = pod["spec"]["containers"]
    return only


def program_of(name):
    """Return which program a component is, or None."""
    return next((each for each in PROGRAMS if name.startswith(each)), None)


def environment(objects, name):
    """Return a program's environment."""
    given = container(pods(objects)[name])
    [source] = given["envFrom"]
    variables = of_kind(objects, "ConfigMap")[source["configMapRef"]["name"].removeprefix("is-")]["data"]
    return variables | {each["name"]: each["value"] for each in given.get("env", [])}


def mebibytes(quantity):
    """Return compose's or Kubernetes' size in MiB."""
    number, unit = re.fullmatch(r"(\d+)([mgMG]).*", quantity).groups()
    return int(number) * {"m": 1, "g": 1024}[unit.lower()]


# What Kubernetes accepts ----------------------------------------------------------------------------------------------


def strict(schema):
    """Return the schema of a custom resource so that it refuses fields that it does not name, except in metadata."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(each) for name, each in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        closed["additionalProperties"] = False
    return closed


def custom_schemas():
    """Return (apiVersion, kind) -> the schema of the custom resources in tests/vendor."""
    schemas = {}
    for path in (ROOT / "tests" / "vendor" / "kubernetes").glob("*/*.yaml"):
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            api = f"{spec['group']}/{version['name']}"
            schemas[api, spec["names"]["kind"]] = strict(version["schema"]["openAPIV3Schema"])
    return schemas


CUSTOM = custom_schemas()


def validate(each, version):
    """Raise jsonschema's ValidationError if Kubernetes would refuse the object, or does not know one of its fields."""
    if schema := CUSTOM.get((each["apiVersion"], each["kind"])):
        jsonschema.Draft202012Validator(schema).validate(each)
    else:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_has_the_form_that_kubernetes_accepts(objects, version):
    for each in [*objects, *SANDBOX]:
        validate(each, version)


@pytest.mark.parametrize("kind", ["ScaledObject", "PodMonitor", "PrometheusRule", "Deployment", "NetworkPolicy"])
def test_the_schemas_refuse_a_field_that_there_is_not(cases, kind):
    [each, *_] = of_kind(cases["managed"], kind).values()

    with pytest.raises(jsonschema.ValidationError):
        validate({**each, "spec": {**each["spec"], "noSuchField": 1}}, KUBERNETES[0])


def test_the_cases_have_every_kind_of_object(cases):
    kinds = {each["kind"] for objects in cases.values() for each in objects}

    assert kinds == {
        *("ConfigMap", "Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "Job"),
        *("HorizontalPodAutoscaler", "ScaledObject", "PodMonitor", "PrometheusRule"),
    }


def test_names_are_distinct_and_everything_that_is_selected_is_there(objects):
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    labels = {name: set(pod["metadata"]["labels"].items()) for name, pod in pods(objects).items()}
    jobs = of_kind(objects, "Job")

    def selected(by):
        return {name for name, has in labels.items() if set(by["matchLabels"].items()) <= has}

    assert len(set(names)) == len(names)
    for name, each in of_kind(objects, "Deployment", "PodDisruptionBudget").items():
        assert selected(each["spec"]["selector"]) == {name}
    for name, each in of_kind(objects, "NetworkPolicy").items():
        assert selected(each["spec"]["podSelector"]) == {name}
    for name, each in of_kind(objects, "Service").items():
        assert selected({"matchLabels": each["spec"]["selector"]}) == {name}
        ports = {port["name"] for port in container(pods(objects)[name])["ports"]}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports
    for name, each in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject").items():
        assert each["spec"]["scaleTargetRef"]["name"] == f"is-{name}"
        assert "replicas" not in of_kind(objects, "Deployment")[name]["spec"]
    assert of_kind(objects, "NetworkPolicy").keys() == labels.keys()
    assert of_kind(objects, "PodDisruptionBudget").keys() == labels.keys() - jobs.keys()


# What the containers may do -------------------------------------------------------------------------------------------


def test_a_container_has_no_privileges_and_cannot_gain_any(objects):
    for name, pod in (pods(objects) | pods(SANDBOX)).items():
        user, only = pod["spec"]["securityContext"], container(pod)["securityContext"]
        assert user["runAsNonRoot"] is True
        assert user["runAsUser"] > 0
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        assert only["allowPrivilegeEscalation"] is False
        assert only["capabilities"] == {"drop": ["ALL"]}
        assert only.get("readOnlyRootFilesystem", False) is (name != "kafka")  # compose's Kafka is not either
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod["spec"].keys()


def test_a_service_named_postgres_does_not_set_postgres_port(objects):
    assert {pod["spec"]["enableServiceLinks"] for pod in (pods(objects) | pods(SANDBOX)).values()} == {False}


@pytest.mark.parametrize("name", ["gateway", "processor", "edge", "kafka", "db", "simulators"])
def test_a_container_has_the_image_user_and_limits_of_the_compose_file(cases, name):
    pod = (pods(cases["sandbox"]) | pods(SANDBOX))[name]
    compose = COMPOSE[name]

    assert mebibytes(container(pod)["resources"]["limits"]["memory"]) == mebibytes(compose["mem_limit"])
    if "image" in compose:
        assert container(pod)["image"] == compose["image"]
    else:
        dockerfile = (ROOT / compose["build"]["dockerfile"]).read_text()
        assert re.search(rf"^USER {pod['spec']['securityContext']['runAsUser']}\b", dockerfile, re.M)
    if name in ("gateway", "processor", "edge"):
        folders = (mount.split(":size=") for mount in compose["tmpfs"])
        scratch = {path: mebibytes(options.partition(",")[0]) for path, options in folders}
        volumes = {each["name"]: each["emptyDir"] for each in pod["spec"]["volumes"] if "emptyDir" in each}
        assert all(volume["medium"] == "Memory" for volume in volumes.values())
        assert scratch == {
            mount["mountPath"]: mebibytes(volumes[mount["name"]]["sizeLimit"])
            for mount in container(pod)["volumeMounts"]
            if mount["name"] in volumes
        }
        assert all(mount.get("readOnly") for mount in container(pod)["volumeMounts"] if mount["name"] not in volumes)


# Settings and secrets -------------------------------------------------------------------------------------------------


def test_no_secret_is_in_a_config_map_or_in_the_environment_and_each_is_a_file_of_its_own_program(objects):
    every = set().union(*SECRETS.values())
    assert not [each for each in objects if each["kind"] == "Secret"]
    for each in of_kind(objects, "ConfigMap").values():
        assert not every & each["data"].keys()
    for name, pod in pods(objects).items():
        variables = {each["name"]: each["value"] for each in container(pod).get("env", [])}
        files = {each.removesuffix("_FILE") for each in variables if each.endswith("_FILE")}
        assert not every & variables.keys()
        assert files <= SECRETS.get(program_of(name), set())
        assert all(variables[f"{each}_FILE"] == f"/run/secrets/{each}" for each in files)
        if files:
            assert "/run/secrets" in [mount["mountPath"] for mount in container(pod)["volumeMounts"]]


def test_a_secret_among_the_settings_is_refused(helm):
    [refused] = re.findall(r"\$secrets := list (.*) \}\}", (CHART / "templates" / "_helpers.tpl").read_text())

    assert set(re.findall(r'"(\w+)"', refused)) == set().union(*SECRETS.values())
    with pytest.raises(Refused, match="SECRET_KEY is a secret"):
        helm("sandbox.yaml", "settings: {SECRET_KEY: x}")


def test_a_misspelt_value_is_refused(helm):
    with pytest.raises(Refused, match="processr"):
        helm("sandbox.yaml", "processr: {replicas: 3}")


def test_every_setting_is_one_that_the_program_has(objects):
    for name in pods(objects):
        if settings := PROGRAMS.get(program_of(name)):
            known = {field.upper() for field in settings.model_fields} | {
                f"{each}_FILE" for each in SECRETS[program_of(name)]
            }
            assert environment(objects, name).keys() <= known


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_programs_accept_the_sandboxs_settings(cases, name, monkeypatch, tmp_path):
    for variable, value in environment(cases["sandbox"], name).items():
        if variable.endswith("_FILE"):
            (tmp_path / Path(value).name).write_text("secret\n")
            value = str(tmp_path / Path(value).name)
        monkeypatch.setenv(variable, value)

    settings = read_settings(PROGRAMS[name])

    assert settings.kafka_bootstrap_servers == "kafka:9094"


def test_numbers_stay_as_they_were_written_and_false_and_0_override_defaults(helm):
    objects = helm(
        "sandbox.yaml",
        """
settings: {WAITING_REPLIES_MAX: 1000000, SHUTDOWN_SECONDS: 2.5}
processor: {settings: {DADATA_REQUESTS_PER_SECOND: 20}, autoscaling: {enabled: true}}
processors: {processor: {replicas: 0, settings: {DADATA_REQUESTS_PER_SECOND: 0}, autoscaling: {enabled: false}}}
""",
    )
    given = environment(objects, "processor")

    assert (given["WAITING_REPLIES_MAX"], given["SHUTDOWN_SECONDS"]) == ("1000000", "2.5")
    assert given["DADATA_REQUESTS_PER_SECOND"] == "0"
    assert of_kind(objects, "Deployment")["processor"]["spec"]["replicas"] == 0
    assert not of_kind(objects, "ScaledObject")


# Updates and stops ----------------------------------------------------------------------------------------------------


def test_a_pod_is_replaced_only_after_another_is_ready(objects):
    for name, each in of_kind(objects, "Deployment").items():
        assert each["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert "readinessProbe" in container(each["spec"]["template"])
        if program_of(name):
            assert each["spec"]["minReadySeconds"] > MIN_READY_SECONDS  # with which updates are simulated


def test_a_pod_has_the_time_to_stop_that_its_program_takes(helm, cases):
    def grace(objects, name):
        return pods(objects)[name]["spec"]["terminationGracePeriodSeconds"]

    compose = int(COMPOSE["processor"]["stop_grace_period"].removesuffix("s"))
    pause = container(pods(cases["sandbox"])["gateway"])["lifecycle"]["preStop"]["sleep"]["seconds"]
    longer = helm("sandbox.yaml", "processor: {settings: {SHUTDOWN_SECONDS: 100.5, DRAIN_SECONDS: 50}}")

    assert grace(cases["sandbox"], "processor") == compose
    assert grace(cases["sandbox"], "gateway") == pause + compose
    assert compose > GATEWAY_SHUTDOWN_SECONDS + SEND_SECONDS_MAX
    assert grace(longer, "processor") > 100.5 + 50 + EXIT_SECONDS
    assert grace(cases["sandbox"], "edge") > GatewaySettings.model_fields["reply_timeout_seconds"].default


def test_a_changed_setting_replaces_only_its_own_programs_pods(helm, cases):
    changed = pods(helm("sandbox.yaml", "gateway: {settings: {LOG_LEVEL: DEBUG}}"))

    assert {name for name, pod in pods(cases["sandbox"]).items() if pod != changed[name]} == {"gateway"}


# One source -----------------------------------------------------------------------------------------------------------


def test_the_edge_has_the_compose_files_configuration(cases):
    data = of_kind(cases["managed"], "ConfigMap")["edge"]["data"]

    assert data["nginx.conf"].strip() == (ROOT / "edge" / "nginx.conf").read_text().strip()
    assert data["default.conf.template"].strip() == (ROOT / "edge" / "default.conf.template").read_text().strip()
    template = data["default.conf.template"] + data["tls.conf"]
    variables = {each["name"] for each in container(pods(cases["managed"])["edge"])["env"]}
    assert set(re.findall(r"\$\{(\w+)\}", template)) == variables
    assert set(re.findall(r"/etc/nginx/tls/(\w+\.pem)", template)) == {"certificate.pem", "key.pem"}


def test_a_key_for_the_compose_files_edge_does_not_come_into_a_release(helm, tmp_path):
    chart, edge = tmp_path / "chart", tmp_path / "edge"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("files"))
    shutil.copytree(ROOT / "edge", edge)
    (chart / "files").mkdir()
    for name in ("key.pem", "certificate.pem", "tls.conf"):
        (edge / "tls" / name).write_text("of the compose file")
    (chart / "files" / "edge").symlink_to(edge)
    listing = '{{ range $path, $_ := .Files.Glob "files/**" }}{{ $paths = append $paths $path }}{{ end }}'
    (chart / "templates" / "gateway.yaml").write_text(
        f"{{{{ $paths := list }}}}{listing}{{{{ fail (toJson $paths) }}}}"
    )

    with pytest.raises(Refused) as refused:
        helm("sandbox.yaml", chart=chart)

    [files] = re.findall(r"\[.*\]", str(refused.value))
    there = {str(path.relative_to(ROOT / "edge")) for path in (ROOT / "edge").rglob("*") if path.is_file()}
    assert {path.removeprefix("files/edge/") for path in json.loads(files)} == there


def test_the_alerts_are_those_of_observability_and_every_processors_end_is_one(objects):
    expected = yaml.safe_load((ROOT / "observability" / "alerts.yml").read_text())["groups"]
    if not (rules := of_kind(objects, "PrometheusRule")):
        return
    jobs = sorted(name for name in pods(objects) if name.startswith("processor"))
    for group in expected:
        group["rules"] = [
            rule | {"expr": rule["expr"].replace('job="processor"', f'job="{job}"')}
            for rule in group["rules"]
            for job in (jobs if 'job="processor"' in rule["expr"] else [""])
        ]

    assert rules["is"]["spec"]["groups"] == expected


def test_prometheus_scrapes_each_program_as_the_job_that_the_alerts_expect(cases):
    for case in ("managed", "task types"):
        monitor = of_kind(cases[case], "PodMonitor")["is"]["spec"]
        [jobs] = [each["values"] for each in monitor["selector"]["matchExpressions"]]
        programs = [name for name in pods(cases[case]) if program_of(name)]

        assert sorted(jobs) == sorted(programs)
        assert all(re.fullmatch("gateway|processor.*", job) for job in jobs)
        label = monitor["jobLabel"]
        assert [pods(cases[case])[name]["metadata"]["labels"][label] for name in programs] == programs


# Scaling by true lag --------------------------------------------------------------------------------------------------


LAG = {'integration_lag_records{instance="a",partition="0",state="waiting"}': "3000"}
LAG |= {'integration_lag_records{instance="b",partition="1",state="in_flight"}': "1000"}
LAG |= {'integration_lag_records{instance="b",partition="1",state="finished"}': "9000"}
REPLICAS = {f'integration_in_flight_max_records{{instance="{each}"}}': "50000" for each in "abc"}
QUOTA = {'integration_quota_slots{instance="a",provider="dadata"}': "20"}
QUOTA |= {'integration_quota_used_slots{instance="a",provider="dadata"}': "19"}
WAITING = {'integration_waiting_for_slot{instance="a",provider="dadata"}': "500"}
ROLLING = {'integration_in_flight_max_records{instance="d"}': "_x110 50000"}
OTHER_JOBS = {'integration_lag_records{job="other",partition="0",state="waiting"}': "70000"}


@pytest.mark.parametrize(
    ("series", "records"),
    [
        (LAG | REPLICAS, 4000),
        (LAG | REPLICAS | OTHER_JOBS, 4000),
        (LAG | REPLICAS | QUOTA | WAITING, 3 * 500),
        (LAG | REPLICAS | QUOTA | WAITING | ROLLING, 3 * 500),
        (LAG | REPLICAS | QUOTA | dict.fromkeys(WAITING, "0"), 4000),
        (LAG | REPLICAS | QUOTA | WAITING | {list(QUOTA)[1]: "10"}, 4000),
        (LAG | REPLICAS | WAITING, 4000),
        (dict.fromkeys(LAG, "100") | REPLICAS | QUOTA | WAITING, 200),
        (OTHER_JOBS, None),
    ],
    ids=[
        "waiting and in flight, and not what is finished",
        "of its own job only",
        "no more than the present replicas are for while tasks wait for a quota that is used",
        "a fourth replica that is there because another is replaced",
        "a quota that is used but that no task waits for",
        "a quota of which half is used",
        "no quota, but tasks that wait for one of their replica's own slots",
        "less lag than the present replicas are for, in spite of the quota",
        "nothing is known",
    ],
)
def test_processors_are_scaled_by_true_lag_and_not_up_where_the_quota_is_the_limit(
    prometheus_installed, cases, tmp_path, series, records
):
    [trigger] = of_kind(cases["managed"], "ScaledObject")["processor"]["spec"]["triggers"]
    named = {
        name if "job=" in name else name.replace("{", '{job="processor",', 1): f"{value}x240"
        for name, value in series.items()
    }
    expected = [] if records is None else [{"labels": "{}", "value": records}]
    test = {
        "interval": "15s",
        "input_series": [
            {"series": name.replace("{", '{namespace="tasks",', 1), "values": values} for name, values in named.items()
        ],
        "promql_expr_test": [{"expr": trigger["metadata"]["query"], "eval_time": "30m", "exp_samples": expected}],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": [test]}))

    command = [install_prometheus() / "promtool", "test", "rules", tmp_path / "test.yml"]
    judged = subprocess.run(command, text=True, capture_output=True, check=False)

    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_each_group_of_processors_scales_by_its_own_lag_from_at_least_one_replica(cases):
    scaled = of_kind(cases["task types"], "ScaledObject")

    assert scaled.keys() == {"processor-dadata", "processor-gpt"}
    for name, each in scaled.items():
        [trigger] = each["spec"]["triggers"]
        assert set(re.findall(r'job="([^"]*)"', trigger["metadata"]["query"])) == {name}
        assert set(re.findall(r'namespace="([^"]*)"', trigger["metadata"]["query"])) == {"tasks"}
        assert trigger["metadata"]["ignoreNullValues"] == "false"
        assert each["spec"]["minReplicaCount"] >= 1
        assert environment(cases["task types"], name)["TASK_TYPES"]


# The schema -----------------------------------------------------------------------------------------------------------


def test_the_job_applies_the_schema_again_and_again_and_the_processors_user_may_use_it(
    cases, postgres, database, tmp_path
):
    job = container(pods(cases["sandbox"])["schema"])
    database.query("DROP OWNED BY integration_service")
    database.query("DROP SCHEMA public CASCADE")
    database.query("CREATE SCHEMA public")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "POSTGRES_PASSWORD").write_text(postgres.password)
    (tmp_path / "sql").mkdir()
    for name, text in of_kind(cases["sandbox"], "ConfigMap")["schema"]["data"].items():
        (tmp_path / "sql" / name).write_text(text)
    script = job["command"][-1].replace("/run/secrets", f"{tmp_path}/secrets").replace("/sql/", f"{tmp_path}/sql/")
    connection = conninfo_to_dict(postgres.conninfo(database.name))
    own = {"PGHOST": connection["host"], "PGPORT": str(connection["port"]), "PGUSER": connection["user"]}
    given = {each["name"]: each["value"] for each in job["env"]} | own | {"PGDATABASE": database.name}

    for _ in range(2):
        command = [*job["command"][:-1], script]
        subprocess.run(
            command, check=True, env={**given, "PATH": f"{Path(program('psql')).parent}:{os.environ['PATH']}"}
        )

    user = f"postgresql://processor:processor@{postgres.host}:{postgres.port}/{database.name}"
    with psycopg.connect(user) as connection:
        assert connection.execute("SELECT count(*) FROM ledger").fetchone() == (0,)
    assert {path.name for path in (tmp_path / "sql").iterdir()} == {path.name for path in (ROOT / "sql").glob("*.sql")}
