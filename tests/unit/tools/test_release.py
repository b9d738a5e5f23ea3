"""What the forge's workflows run is pinned, and a released image says what it is made of and can be verified."""

import re

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = {path.stem: path.read_text() for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
RELEASE = yaml.safe_load(WORKFLOWS["release"])["jobs"]["image"]
STEPS = {step.get("id", step.get("name", step.get("uses", "").partition("@")[0])): step for step in RELEASE["steps"]}
BUILD = STEPS["build"]["with"]
PROGRAMS = RELEASE["strategy"]["matrix"]["program"]
DOCKERFILES = {program: (ROOT / f"Dockerfile.{program}").read_text() for program in PROGRAMS}
SANDBOX = (ROOT / "sandbox" / "Dockerfile").read_text()
LABEL = re.compile(r"\borg\.opencontainers\.image\.([\w.]+)=(\"[^\"]+\"|\$\w+)")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_by_commit_with_its_version_beside_it(name):
    used = re.findall(r"^ *(?:- )?uses: (.*)$", WORKFLOWS[name], re.M)

    assert used
    for action in used:
        if not action.startswith("$/"):  # this repository, at the commit that runs
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_every_image_that_a_workflow_runs_with_privileges_is_pinned_by_digest():
    images = re.findall(r"\bimage(?:: |=)(docker\.io/\S+)", WORKFLOWS["release"])

    assert len(images) == len([name for name in STEPS if name.startswith("docker/setup-")])
    for image in images:
        assert re.fullmatch(r"docker\.io/[\w/-]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image


def test_dependabot_watches_the_actions_the_base_images_and_the_compose_files_images():
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    watched = {update["package-ecosystem"]: update.get("directories", [update.get("directory")]) for update in updates}

    folders = {
        f"/{path.parent.relative_to(ROOT)}".rstrip(".")
        for path in [*ROOT.glob("Dockerfile*"), *ROOT.glob("*/Dockerfile*")]
    }
    assert watched.keys() == {"pip", "docker", "docker-compose", "github-actions"}
    assert set(watched["docker"]) == folders


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_job_has_only_the_permissions_that_it_names(name):
    workflow = yaml.safe_load(WORKFLOWS[name])

    assert workflow["permissions"] == {}
    written = {
        permission
        for job in workflow["jobs"].values()
        for permission, access in job["permissions"].items()
        if access != "read"
    }
    assert written == ({"packages", "id-token", "attestations"} if name == "release" else set())


def test_a_release_builds_each_program_for_both_architectures_after_ci_has_passed():
    assert set(PROGRAMS) == {path.suffix[1:] for path in ROOT.glob("Dockerfile.*")}
    assert BUILD["platforms"] == "linux/amd64,linux/arm64"
    assert yaml.safe_load(WORKFLOWS["release"])["jobs"][RELEASE["needs"]]["uses"] == "$/.github/workflows/ci.yml"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_released_image_has_labels_that_the_workflow_sets(program):
    labels = dict(LABEL.findall(DOCKERFILES[program]))
    variables = {value.removeprefix("$") for value in labels.values() if value.startswith("$")}

    assert labels.keys() == {"title", "description", "version", "revision", "source", "base.name", "base.digest"}
    assert program in labels["title"]
    assert variables == {"VERSION", "REVISION", "SOURCE", "BASE_NAME", "BASE_DIGEST"}
    assert variables == set(re.search(r"^ARG (.*)$", DOCKERFILES[program], re.M)[1].split())
    assert variables == {line.partition("=")[0] for line in BUILD["build-args"].splitlines()}


def test_the_simulators_image_says_what_it_is():
    assert dict(LABEL.findall(SANDBOX)).keys() == {"title", "description"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_released_image_has_one_base_which_the_workflow_pins_by_digest(program):
    bases = re.findall(r"^FROM (\S+)(?: AS \w+)?$", DOCKERFILES[program], re.M)
    [found] = re.findall(r"^FROM ([^ ]*)$", DOCKERFILES[program], re.M)  # the pattern of the workflow

    assert r"sed -n 's/^FROM \([^ ]*\)$/\1/p'" in STEPS["names"]["run"]
    assert set(bases) == {found}
    names = "${{ steps.names.outputs.base }}"
    assert BUILD["build-contexts"] == f"{names}=docker-image://{names}@${{{{ steps.names.outputs.base_digest }}}}"


def test_a_release_is_signed_and_attested_by_digest_with_its_provenance_and_its_bill_of_materials():
    digest = "${{ steps.build.outputs.digest }}"

    assert (BUILD["push"], BUILD["sbom"], BUILD["provenance"]) == (True, True, "mode=max")
    assert STEPS["Sign"]["env"]["IMAGE"].endswith(f"@{digest}")
    assert STEPS["actions/attest"]["with"]["subject-digest"] == digest
    assert list(STEPS)[-1] == "Verify as a user does"


def test_the_documented_commands_are_those_with_which_the_workflow_verifies():
    operations = (ROOT / "docs" / "operations.md").read_text()
    example = {
        "$GITHUB_SERVER_URL/$GITHUB_WORKFLOW_REF": "https://github.com/$GITHUB_REPOSITORY/.github/workflows/release.yml"
        "@refs/tags/v1.2.3",
        "$GITHUB_REPOSITORY": "OWNER/REPOSITORY",
        "$IMAGE": "ghcr.io/OWNER/integration-service-gateway:1.2.3",
    }

    commands = STEPS["Verify as a user does"]["run"].replace('"', "")
    for variable, value in example.items():
        commands = commands.replace(variable, value)

    verified = re.sub(r" \\\n +", " ", commands).splitlines()
    assert re.findall(r"^    ((?:cosign|gh) .*)$", operations, re.M) == verified
