"""The last step of `make sbom`: completes the bills of materials in sbom/, and refuses licences that are not allowed.

Prints the written files. Exits with 1 and a line for each package whose licence is not in `ALLOWED`.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SBOM = ROOT / "sbom"
ENVIRONMENTS = ROOT / ".venv" / "tools"
"""Has a folder for each image, with its packages installed."""

_NOTICE = "requires its notice, which the package brings into the image"
ALLOWED = {
    "Apache-2.0": _NOTICE,
    "License :: OSI Approved :: Apache Software License": _NOTICE,
    "BSD-2-Clause": _NOTICE,
    "BSD-3-Clause": _NOTICE,
    "License :: OSI Approved :: BSD License": _NOTICE,
    "ISC": _NOTICE,
    "MIT": _NOTICE,
    "MIT-0": "requires nothing",
    "PSF-2.0": _NOTICE,
    "Python-2.0": _NOTICE,
    "MPL-2.0": "copyleft for each file, and none of their files is changed",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "the same",
    "LGPL-3.0-only": "psycopg: used unchanged, as a library that the owner of an image can replace",
    "LGPL-2.1-or-later": "the same, for the shared libraries that psycopg brings along",
    "PostgreSQL": _NOTICE,
    "OLDAP-2.8": _NOTICE,
}
# Packages without a licence in their metadata, with the licence from their LICENSE file.
UNDECLARED = {"protobuf": "BSD-3-Clause"}


def licences(component: dict[str, Any]) -> list[str]:
    """Return every licence that a component names. `A OR B` counts as both, because no choice was made."""
    names: list[str] = []
    for entry in component.get("licenses", []):
        if "expression" in entry:
            names += filter(None, re.split(r"\s+(?:AND|OR|WITH)\s+|[()]", entry["expression"]))
        else:
            names.append(entry["license"].get("id") or entry["license"]["name"])
    return names or [UNDECLARED.get(component["name"], "none")]


def vendored(image: str) -> list[dict[str, Any]]:
    """Return the third-party files in an image's own folder as components."""
    return [
        {
            "type": "library",
            "bom-ref": f"{package['package']}@{package['version']}",
            "name": package["package"],
            "version": package["version"],
            "purl": f"pkg:npm/{package['package']}@{package['version']}",
            "licenses": [{"license": {"id": package["license"], "acknowledgement": "declared"}}],
        }
        for manifest in (ROOT / image).rglob("vendor.json")
        for package in json.loads(manifest.read_text())
    ]


# File or part of a file -> its licence. What is not here is refused, as a package is.
NATIVE_LICENCES = {
    "openssl": "Apache-2.0",
    "librdkafka": "BSD-2-Clause",
    "libpq": "PostgreSQL",
    "libcrypto": "Apache-2.0",
    "libssl": "Apache-2.0",
    "libldap": "OLDAP-2.8",
    "liblber": "OLDAP-2.8",
    "libsasl2": "BSD-3-Clause",
    "libcrypt": "LGPL-2.1-or-later",
    "libkeyutils": "LGPL-2.1-or-later",
    **dict.fromkeys(("libcom_err", "libgssapi_krb5", "libk5crypto", "libkrb5", "libkrb5support"), "MIT"),
}


def native(image: str) -> list[dict[str, Any]]:
    """Return the shared libraries that wheels bring along as components, and the OpenSSL that is part of each.

    A library's version is that of its file's name, such as 5.18 for libpq of PostgreSQL 18. No vulnerability scanner
    sees them otherwise.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ENVIRONMENTS / image).rglob("*.libs/*.so*")):
        name, _, version = re.sub(r"-[0-9a-f]{8}(?=\.so)", "", path.name).partition(".so.")
        parts = [(name, version)]
        if openssl := re.search(rb"OpenSSL (\d+\.\d+\.\d+[a-z]?) ", path.read_bytes()):
            parts.append(("openssl", openssl[1].decode()))
        for part, its_version in parts:
            reference = f"{part}@{its_version} in {path.parent.name.removesuffix('.libs')}"
            found[reference] = {
                "type": "library",
                "bom-ref": reference,
                "name": part,
                "version": its_version,
                "purl": f"pkg:generic/{part}@{its_version}",
                "licenses": [{"license": {"id": NATIVE_LICENCES[part], "acknowledgement": "concluded"}}]
                if part in NATIVE_LICENCES
                else [],
                "properties": [{"name": "in the wheel of", "value": path.parent.name.removesuffix(".libs")}],
            }
    return list(found.values())


def main() -> int:
    """Complete the bills of materials, write the table of licences, and return the exit code."""
    packages: dict[tuple[str, str, str], list[str]] = {}
    refused = []
    for path in sorted(SBOM.glob("*.cdx.json")):
        image = path.name.partition(".")[0]
        bom = json.loads(path.read_text())
        bom["metadata"]["component"] = {"type": "container", "bom-ref": image, "name": f"integration-service-{image}"}
        bom["components"] += vendored(image) + native(image)
        path.write_text(json.dumps(bom, indent=2) + "\n")
        for component in bom["components"]:
            named = licences(component)
            packages.setdefault((component["name"], component["version"], ", ".join(named)), []).append(image)
            refused += [
                f"{component['name']} {component['version']}, in the {image}'s image: not in tools/sbom.py: {name}"
                for name in named
                if name not in ALLOWED
            ]
        print(f"{path.relative_to(ROOT)}: {len(bom['components'])} packages")

    table = SBOM / "licences.txt"
    rows = [f"{name} {version}\t{named}\t{', '.join(images)}" for (name, version, named), images in packages.items()]
    table.write_text("\n".join(sorted(rows, key=str.lower)) + "\n")
    print(f"{table.relative_to(ROOT)}: their licences")
    for line in refused:
        print(line, file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
