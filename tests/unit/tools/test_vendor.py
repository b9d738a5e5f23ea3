"""The vendored files match their manifest, and there are no others."""

import base64
import hashlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "folder", [ROOT / "gateway" / "documents" / "assets" / "vendor", ROOT / "tests" / "vendor"], ids=str
)
def test_vendored_files_have_the_hashes_of_their_manifest_and_come_with_their_licence(folder):
    packages = json.loads((folder / "vendor.json").read_text())
    hashes = {name: expected for package in packages for name, expected in package["files"].items()}

    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == {*hashes, "vendor.json"}
    for name, expected in hashes.items():
        digest = hashlib.sha512((folder / name).read_bytes()).digest()
        assert expected == "sha512-" + base64.b64encode(digest).decode(), name
    for package in packages:
        assert package.keys() == {"package", "version", "license", "integrity", "files"}
        assert any(name.endswith("/LICENSE") for name in package["files"])
