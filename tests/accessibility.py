"""What axe-core finds wrong with a page for people who cannot see it, or not well, or have no mouse."""

from pathlib import Path

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"


def violations(page):
    """Return (rule, element) for each violation. The page's context must bypass its Content-Security-Policy."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")
    assert len(found["passes"]) > 10, "axe has looked"
    return [(violation["id"], node["html"]) for violation in found["violations"] for node in violation["nodes"]]
