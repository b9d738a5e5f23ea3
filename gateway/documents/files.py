"""Reads the documents' YAML files and fills in what the settings and the code decide."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent


def filled(name: str, **values: object) -> dict[str, Any]:
    """Return the document of this file with `{{NAME}}` replaced by the value of NAME, for each of the names in it."""
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: str(values[found[1]]), (_FOLDER / name).read_text(encoding="utf-8"))
    # Through JSON, as parts that YAML's anchors share would be one object: to change one would change all.
    document: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(text)))
    return document
