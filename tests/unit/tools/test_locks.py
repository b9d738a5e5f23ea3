"""The locks install exactly what the requirements files ask for, checked by hash, and nothing else."""

import json
import re
from pathlib import Path

import pytest

from tools import sbom

ROOT = Path(__file__).parents[3]
LOCKS = {path.stem: path.read_text() for path in sorted((ROOT / "locks").glob("*.txt"))}
IMAGES = {"gateway": "Dockerfile.gateway", "processor": "Dockerfile.processor", "sandbox": "sandbox/Dockerfile"}
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", re.M)


def pins(text):
    """Return the pins of a requirements file or a lock: name -> version."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in PIN.findall(text)}


def requirements(lock):
    """Return the requirements from which a lock is made."""
    if lock in IMAGES:
        return "\n".join(re.findall(rf"^.*# [a-z, ]*{lock}.*$", requirements("run"), re.M))
    return (ROOT / {"run": "requirements.txt"}.get(lock, f"requirements-{lock}.txt")).read_text()


def test_there_is_a_lock_for_each_image_and_each_environment_and_no_other():
    assert LOCKS.keys() == {*IMAGES, "run", "dev", "tools"}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_every_pin_that_it_is_made_of(lock):
    named = pins(requirements(lock))

    assert named
    assert named.items() <= pins(LOCKS[lock]).items(), "make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_wheels_each_with_its_version_and_hashes_from_any_index(lock):
    options, *packages = re.split(r"\n+(?=[^\s])", re.sub(r"^ *#.*\n", "", LOCKS[lock], flags=re.M))

    assert options == "--only-binary :all:"
    for package in packages:
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n?", package), package


@pytest.mark.parametrize("lock", [*IMAGES, "run"])
def test_what_is_tested_is_what_runs(lock):
    assert pins(LOCKS[lock]).items() <= pins(LOCKS["dev"]).items()


@pytest.mark.parametrize(
    ("image", "foreign"),
    [
        ("gateway", {"psycopg", "quixstreams", "httpx", "aiohttp", "pytest"}),
        ("processor", {"fastapi", "uvicorn", "aiohttp", "pytest"}),
        ("sandbox", {"psycopg", "quixstreams", "confluent-kafka", "pytest"}),
    ],
)
def test_an_image_has_nothing_of_another_program(image, foreign):
    assert foreign <= pins(LOCKS["run"]).keys()
    assert not foreign & pins(LOCKS[image]).keys()


@pytest.mark.parametrize(("image", "dockerfile"), IMAGES.items())
def test_an_image_installs_its_lock_and_the_bill_of_material_is_of_its_python_on_any_machine(image, dockerfile):
    text = (ROOT / dockerfile).read_text()
    [listed] = re.findall(r"^IMAGES_PYTHON := (.*)$", (ROOT / "Makefile").read_text(), re.M)

    assert re.findall(r"pip .*install .*--require-hashes -r /(\w+)\.txt$", text, re.M) == [image]
    assert set(re.findall(r"^FROM python:([\d.]+)", text, re.M)) == {listed}
    assert "platform_machine" not in LOCKS[image]


@pytest.fixture
def bill(tmp_path, monkeypatch):
    """Return a function that writes the gateway's bill of materials for one package and completes it."""
    monkeypatch.setattr(sbom, "ROOT", tmp_path)
    monkeypatch.setattr(sbom, "SBOM", tmp_path)
    monkeypatch.setattr(sbom, "ENVIRONMENTS", tmp_path / "environments")
    (tmp_path / "gateway").mkdir()
    vendored = [{"package": "swagger", "version": "5", "license": "Apache-2.0"}]
    (tmp_path / "gateway" / "vendor.json").write_text(json.dumps(vendored))

    def bill(*licences):
        component = {"name": "one", "version": "1", "licenses": list(licences)}
        path = tmp_path / "gateway.cdx.json"
        path.write_text(json.dumps({"metadata": {}, "components": [component]}))
        return sbom.main(), json.loads(path.read_text())

    return bill


def test_a_bill_of_material_has_the_image_and_what_lies_among_its_files(bill, tmp_path):
    code, completed = bill({"license": {"id": "MIT"}})

    assert code == 0
    assert completed["metadata"]["component"]["name"] == "integration-service-gateway"
    assert [component["name"] for component in completed["components"]] == ["one", "swagger"]
    assert (tmp_path / "licences.txt").read_text() == "one 1\tMIT\tgateway\nswagger 5\tApache-2.0\tgateway\n"


def test_a_bill_of_material_has_the_libraries_inside_of_wheels_and_the_openssl_inside_of_those(bill, tmp_path, capsys):
    folder = tmp_path / "environments" / "gateway" / "lib" / "one.libs"
    folder.mkdir(parents=True)
    (folder / "librdkafka-f7dd8076.so.1").write_bytes(b"\0OpenSSL 3.0.15 3 Sep 2024\0")
    code, completed = bill({"license": {"id": "MIT"}})

    assert code == 0
    assert {(each["name"], each["version"]) for each in completed["components"]} >= {
        ("librdkafka", "1"),
        ("openssl", "3.0.15"),
    }

    (folder / "libnew.so.2").touch()
    assert bill({"license": {"id": "MIT"}})[0] == 1
    assert capsys.readouterr().err == "libnew 2, in the gateway's image: not in tools/sbom.py: none\n"


@pytest.mark.parametrize(
    ("licences", "refused"),
    [
        ([{"license": {"id": "AGPL-3.0-only"}}], "AGPL-3.0-only"),
        ([{"license": {"id": "MIT"}}, {"license": {"name": "Ours"}}], "Ours"),
        ([{"expression": "MIT AND (Apache-2.0 OR GPL-2.0-only)"}], "GPL-2.0-only"),
        ([], "none"),
    ],
)
def test_a_licence_that_nobody_has_agreed_to_is_refused_by_name(bill, capsys, licences, refused):
    code, _ = bill(*licences)

    assert code == 1
    assert capsys.readouterr().err == f"one 1, in the gateway's image: not in tools/sbom.py: {refused}\n"
