"""Reads the documents' YAML files, and fills in values from the settings and the code."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent


def filled(name: str, **values: object) -> dict[str, Any]:
    """Return the document in this file, with each `{{NAME}}` replaced by the value of NAME."""
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: str(values[found[1]]), (_FOLDER / name).read_text(encoding="utf-8"))
    # Through JSON, because parts that share a YAML anchor are one object: a change to one would change all.
    document: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(text)))
    return document
