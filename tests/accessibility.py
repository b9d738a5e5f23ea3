"""Accessibility of a page, checked by axe-core: for people who are blind, see poorly, or use no mouse."""

from pathlib import Path

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"


def violations(page):
    """Return (rule, element) for each violation. The browser context must bypass Content-Security-Policy."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")
    assert len(found["passes"]) > 10, "axe has looked"
    return [(violation["id"], node["html"]) for violation in found["violations"] for node in violation["nodes"]]
