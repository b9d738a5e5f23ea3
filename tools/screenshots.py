"""`make screenshots`: takes the README's pictures of the try-it page, in its light and its dark colours."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from sandbox.child import NotReady
from sandbox.stack import Stack, running

FOLDER = Path(__file__).parents[1] / "docs" / "images"
SIZE = ViewportSize(width=1000, height=720)
TASKS = ("gpt", "email", "phone")


def send_tasks(page: Page) -> None:
    """Send a task of each type, and wait for its reply."""
    for task_type in TASKS:
        page.get_by_label(task_type, exact=True).check()
        page.get_by_role("button", name="Send", exact=True).click()
        expect(page.locator("#reply-task")).to_contain_text(task_type, timeout=30_000)
        expect(page.locator("#reply-state")).to_have_text("Done", timeout=30_000)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Print the title of a step."""
    print(title, file=sys.stderr)
    yield


def main() -> int:
    """Write the pictures and return the exit code."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium is missing: tools/install.sh tests installs it", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    stack = Stack(processors=1, simulated_only=True)
    try:
        with running(stack, step), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport=SIZE, color_scheme=scheme, reduced_motion="reduce")
                page.goto(f"{stack.gateway_url}/")
                send_tasks(page)
                page.evaluate("scrollTo(0, 0)")
                page.screenshot(path=FOLDER / f"try-it-{scheme}.png")
            browser.close()
    except NotReady as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Written: {FOLDER}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
