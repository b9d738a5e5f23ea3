"""`python -m tests.chaos`: runs a whole system under faults drawn from a seed and checks every promise."""

import argparse
import contextlib
import random
import secrets
import sys

from rich.console import Console

from tests.chaos.faults import FAULTS, FAULTS_OF_THREE_BROKERS, Fault
from tests.chaos.judge import judge
from tests.chaos.memory import memory
from tests.chaos.report import show
from tests.chaos.run import Run, schedule
from tests.chaos.services import FaultServices, run_alone

console = Console()


def main() -> int:
    """Run one kind of run and return its exit code: 0 if every promise held."""
    arguments = _arguments()
    work = _faults if arguments.memory is None else _memory
    return run_alone("chaos", console, lambda services: work(services, arguments), brokers=arguments.brokers)


def _faults(services: FaultServices, arguments: argparse.Namespace) -> bool:
    chance = random.Random(arguments.seed)
    chosen = _chosen(arguments)
    rounds = schedule(chosen, arguments.rounds or len(chosen), arguments.joined, chance)
    share = arguments.tasks // max(1, sum(faults[0].tasks is None for faults in rounds))
    tasks = [faults[0].tasks or max(1, share) for faults in rounds]
    console.print(f"seed {arguments.seed}: {sum(tasks):,} tasks, {len(rounds)} rounds, {arguments.replicas} replicas")
    run = Run(services, arguments.seed, replicas=arguments.replicas, gateways=arguments.gateways)
    with contextlib.closing(run):
        run.start()
        for number, faults in enumerate(rounds, 1):
            names = " + ".join(fault.name for fault in faults)
            with console.status(f"{number}/{len(rounds)} {names}"):
                played = run.play(tasks[number - 1], *faults)
            settled = "not settled" if played.seconds_to_settle is None else f"{played.seconds_to_settle:.1f} s"
            console.print(f"{number:3}/{len(rounds)}  {names:45} {settled}", highlight=False, soft_wrap=True)
        with console.status("Stopping the programs"):
            history = run.finish()
    verdict = judge(history, arguments.settle_seconds_max)
    show(verdict, console)
    for note in run.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    if verdict.violations:
        console.print(f"[bold red]{len(verdict.violations)} promises broken[/bold red]; again: --seed {arguments.seed}")
    else:
        console.print(f"[bold green]Every promise held[/bold green], seed {arguments.seed}.", highlight=False)
    return not verdict.violations


def _chosen(arguments: argparse.Namespace) -> list[Fault]:
    faults = FAULTS if arguments.brokers == 1 else FAULTS_OF_THREE_BROKERS
    return [fault for name, fault in faults.items() if any(part in name for part in arguments.faults)]


def _memory(services: FaultServices, arguments: argparse.Namespace) -> bool:
    def progress(done: int, resident_bytes: int) -> None:
        console.print(f"{done:>9,} done, {resident_bytes / 2**20:6.1f} MiB resident", highlight=False)

    growth = memory(services, arguments.memory, progress)
    console.print(
        f"{growth.first_bytes / 2**20:.1f} MiB at {growth.first_done:,} done, {growth.last_bytes / 2**20:.1f} MiB at "
        f"{growth.last_done:,}: {growth.per_cent:+.1f}%; {growth.last_done / growth.seconds:,.0f} tasks a second"
    )
    return growth.last_done >= arguments.memory


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Runs a whole system of its own under faults, and judges what it promised.",
    )
    add = parser.add_argument
    add("--seed", type=int, default=secrets.randbelow(1_000_000), help="of all that is left to chance (default: any)")
    add("--brokers", type=int, choices=(1, 3), default=1, help="Kafka's brokers; 3 have faults of their own")
    add("--tasks", type=int, default=40_000, help="tasks, in all rounds that name no number (default: %(default)s)")
    add("--replicas", type=int, default=3, help="processors (default: %(default)s)")
    add("--gateways", type=int, default=2, help="gateways (default: %(default)s)")
    add("--rounds", type=int, help="rounds, one fault each (default: each fault once)")
    add("--joined", type=float, default=0.2, help="share of rounds with a second fault on top (default: %(default)s)")
    add("--faults", nargs="+", default=[""], metavar="PART", help="only faults whose names hold one of these")
    add("--settle-seconds-max", type=float, help="how long a round may take to settle after its fault")
    add("--memory", type=int, nargs="?", const=1_000_000, metavar="N", help="instead: N tasks, and memory (%(const)s)")
    add("--list", action="store_true", help="name all faults, and do nothing")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(FAULTS if arguments.brokers == 1 else FAULTS_OF_THREE_BROKERS))
        sys.exit(0)
    if not _chosen(arguments):
        parser.error("no fault's name holds that; --list names them")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
