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


def main() -> int:
    """Complete the bills of materials, write the table of licences, and return the exit code."""
    packages: dict[tuple[str, str, str], list[str]] = {}
    refused = []
    for path in sorted(SBOM.glob("*.cdx.json")):
        image = path.name.partition(".")[0]
        bom = json.loads(path.read_text())
        bom["metadata"]["component"] = {"type": "container", "bom-ref": image, "name": f"integration-service-{image}"}
        bom["components"] += vendored(image)
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
