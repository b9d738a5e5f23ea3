"""`make up`: starts the stack, sends a first task, prints links, and leaves it running. `make down` stops it."""

import json
import signal

import httpx
from rich.console import Console

from sandbox.child import NotReady
from sandbox.stack import GATEWAY, Stack, Step, saved_lines, stop_saved

REPLY_SECONDS = 60.0
FIRST_TASK = json.dumps({"task_id": 1, "task_type": "phone", "data": "8 916 823 34 54"})

NAME_CHARACTERS = 22


def up(console: Console, step: Step, processors: int) -> None:
    """Start the stack and leave it running. If it is running already, only show how to use it.

    Raises:
        sandbox.child.NotReady: it does not start, or the first task fails. Then nothing is left running.
    """
    lines = saved_lines()
    if lines is not None:
        console.print("The stack is up already. To send a task:\n")
        show_request(console, dict(lines)[GATEWAY])
    else:
        stack = Stack(processors, outlive=True)
        try:
            stack.start(step)
            lines = stack.lines()
            show_first_task(console, step, stack)
            stack.save()
        except BaseException:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with step("Stopping the stack"):
                stack.delete()
            raise
    show_lines(console, lines)
    console.print("\n[bold]make down[/bold] stops it.")


def down(console: Console, step: Step) -> None:
    """Stop the stack that was left running."""
    if not stop_saved(step):
        console.print("Nothing is up.")


def show_first_task(console: Console, step: Step, stack: Stack) -> None:
    """Send a first task, and show the command and the reply. With real providers only the command is shown."""
    if "DADATA" not in stack.simulated:
        console.print("\n[bold]The providers are real[/bold]: a task costs money, so none was sent. To send one:\n")
        show_request(console, stack.gateway_url)
        return
    with step("Sending a first task"):
        reply = httpx.post(
            f"{stack.gateway_url}/tasks",
            content=FIRST_TASK,
            headers={"Content-Type": "application/json"},
            timeout=REPLY_SECONDS,
            trust_env=False,
        )
    if reply.status_code != 200:
        raise NotReady(f"The reply to the first task has status {reply.status_code}: {reply.text}")
    console.print("\n[bold]A task[/bold]; you can send it again as often as you like:\n")
    show_request(console, stack.gateway_url)
    console.print("\n[bold]Its reply[/bold], with the id of its row in PostgreSQL:\n")
    console.print(f"  {reply.text}", style="green", highlight=False, markup=False, soft_wrap=True)


def show_request(console: Console, gateway_url: str) -> None:
    """Print the command that sends the first task, in a form that can be copied."""
    for line in (
        f"  curl {gateway_url}/tasks -H 'Content-Type: application/json' \\",
        f"    -d '{FIRST_TASK}'",
    ):
        console.print(line, style="cyan", highlight=False, markup=False, soft_wrap=True)


def show_lines(console: Console, lines: list[tuple[str, str]]) -> None:
    """Print the stack's lines. A value too long to fit beside its name goes below it, unwrapped."""
    for name, value in lines:
        if not value:
            console.print(f"\n[bold]{name}[/bold]")
        elif 2 + NAME_CHARACTERS + len(value) <= console.width:
            console.print(f"  {name:{NAME_CHARACTERS}}{value}", highlight=False, markup=False, soft_wrap=True)
        else:
            console.print(f"  {name}\n    {value}", highlight=False, markup=False, soft_wrap=True)
