"""`make up`: starts the stack, sends a first task, prints links, and leaves it running. `make down` stops it."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from textwrap import indent

import httpx
from rich.console import Console

from sandbox.child import NotReady
from sandbox.left_running import LeftRunning
from sandbox.services import ROOT
from sandbox.stack import Stack, Step
from sandbox.user_settings import for_the_stack, user_settings
from shared.messages import TASK_DATA

REPLY_SECONDS = 60.0
NAME_CHARACTERS = 22


def up(console: Console, step: Step, processors: int) -> None:
    """Start the stack and leave it running. If it is running already, start what has ended, and show how to use it.

    Raises:
        sandbox.child.NotReady: it does not start, or the first task fails. Then nothing is left running.
    """
    settings = user_settings(ROOT / ".env")
    left = LeftRunning.read()
    if left is not None and not left.has_data:
        left.stop()
        left = None
    if left is None:
        left = start(console, step, processors, settings)
    else:
        if left.ended:
            restart(console, step, left)
        else:
            console.print("The stack is up already.")
        if left.settings != for_the_stack(settings):
            console.print(
                "Your settings have changed since it was started: [bold]make down[/bold], then start it anew."
            )
        show_request(console, "\n[bold]To send a task:[/bold]", left.request)
    show_lines(console, left.lines)
    console.print("\n[bold]make down[/bold] stops it.")


def down(console: Console, step: Step) -> None:
    """Stop the stack that was left running."""
    left = LeftRunning.read()
    if left is None:
        console.print("Nothing is up.")
        return
    with step("Stopping the stack"):
        left.stop()


def start(console: Console, step: Step, processors: int, settings: Mapping[str, str]) -> LeftRunning:
    """Start the stack with the user's settings, and send a first task."""
    stack = Stack(processors, outlive=True, settings=settings)
    try:
        stack.start(step)
        console.print()
        show_settings(console, stack, settings)
        request = show_first_task(console, step, stack)
        return LeftRunning.of(stack, request)
    except BaseException:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with step("Stopping the stack"):
            stack.delete()
        raise


def restart(console: Console, step: Step, left: LeftRunning) -> None:
    """Show what has ended, with the end of its log, and start it again."""
    ended = left.ended
    for child in ended:
        console.print(f"[bold red]{child.name} has ended.[/bold red]", highlight=False)
        console.print(child.tail(), highlight=False, markup=False, soft_wrap=True)
    try:
        with step(f"Starting again: {', '.join(child.name for child in ended)}"):
            left.restart()
    except BaseException:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with step("Stopping the stack"):
            left.stop()
        raise


def show_settings(console: Console, stack: Stack, settings: Mapping[str, str]) -> None:
    """Name the user's settings that are used, those that are not, what costs money, and which ports have moved."""
    used, unused = sorted(stack.settings), sorted(settings.keys() - stack.settings.keys())
    lines = [f"Real keys are set for {' and '.join(stack.real)}: every call to them is paid for."] if stack.real else []
    if used:
        lines.append(f"Your settings, from the environment or .env: {', '.join(used)}")
    if unused:
        lines.append(f"Not used, because they do not fit this stack: {', '.join(unused)}")
    lines += [f"Port {usual} is in use: {name} has {port}." for name, (usual, port) in stack.moved.items()]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def show_first_task(console: Console, step: Step, stack: Stack) -> str:
    """Send a first task, show its command, reply and row, and return the command.

    Where every task costs money, only the command is shown.
    """
    free = [task_type for task_type in stack.task_types if stack.is_free(task_type)]
    task_type = (free or stack.task_types)[0]
    task = json.dumps({"task_id": 1, "task_type": task_type, "data": TASK_DATA[task_type].example})
    has_tokens = stack.environment.get("GATEWAY_AUTH") == "required"
    request = request_of(stack.gateway_url, task, has_tokens=has_tokens)
    if not free:
        show_request(
            console,
            "\n[bold]The providers are real[/bold]: a task costs money, so none was sent. To send one:",
            request,
        )
        return request
    with step("Sending a first task"):
        reply = httpx.post(
            f"{stack.gateway_url}/tasks",
            content=task,
            headers={
                "Content-Type": "application/json",
                **({"Authorization": f"Bearer {token(stack)}"} if has_tokens else {}),
            },
            timeout=REPLY_SECONDS,
            trust_env=False,
        )
    if reply.status_code != 200:
        raise NotReady(f"The reply to the first task has status {reply.status_code}: {reply.text}")
    show_request(console, "\n[bold]A task[/bold]; you can send it again as often as you like:", request)
    console.print("\n[bold]Its reply[/bold], with the id of its row in PostgreSQL:\n")
    console.print(f"  {reply.text}", style="green", highlight=False, markup=False, soft_wrap=True)
    return request


def request_of(gateway_url: str, task: str, *, has_tokens: bool) -> str:
    """Return the shell command that sends the task, in a form that can be copied."""
    command = f"curl {gateway_url}/tasks -H 'Content-Type: application/json' \\\n  -d '{task}' -w '\\n'"
    if not has_tokens:
        return command
    token = "TOKEN=$(set -a; . .sandbox/env; .venv/bin/python -m gateway token alice)"  # noqa: S105 - makes one
    return f'{token}\n{command} \\\n  -H "Authorization: Bearer $TOKEN"'


def token(stack: Stack) -> str:
    """Return a bearer token, as a caller gets one."""
    command = [sys.executable, "-m", "gateway", "token", "alice"]
    return subprocess.run(
        command, cwd=ROOT, env=stack.environment, check=True, text=True, stdout=subprocess.PIPE
    ).stdout.strip()


def show_request(console: Console, title: str, request: str) -> None:
    """Print the command that sends a task, below its title."""
    console.print(f"{title}\n")
    console.print(indent(request, "  "), style="cyan", highlight=False, markup=False, soft_wrap=True)


def show_lines(console: Console, lines: list[tuple[str, str]]) -> None:
    """Print the stack's lines. A value too long to fit beside its name goes below it, unwrapped."""
    for name, value in lines:
        if not value:
            console.print(f"\n[bold]{name}[/bold]")
        elif len(name) < NAME_CHARACTERS and 2 + NAME_CHARACTERS + len(value) <= console.width:
            console.print(f"  {name:{NAME_CHARACTERS}}{value}", highlight=False, markup=False, soft_wrap=True)
        else:
            console.print(f"  {name}\n    {value}", highlight=False, markup=False, soft_wrap=True)
