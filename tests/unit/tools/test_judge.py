"""The judge of the fault runs reports every broken promise, and nothing if all promises hold."""

import signal
from collections import Counter
from dataclasses import replace

import pytest

from processor.store.rows import ROWS_WAITING_MAX
from tests.chaos.judge import STEADY_SECONDS, Answer, Cut, Exit, History, Line, Round, Steady, Task, judge

STARTED_AT = 1000.0


def clean():
    """Return a history in which everything holds: 20 tasks, a kill, a provider's failure, a refusal."""
    history = History(
        rounds=[
            Round(1, "replica killed", seconds_to_settle=11.0),
            Round(2, "providers: 503", dead_letters=True, seconds_to_settle=2.0),
            Round(3, "replica paused", cuts_calls=True, seconds_to_settle=3.0),
        ],
        cuts=[Cut(1, STARTED_AT + 5, processors=1, in_flight=3, at_provider=1, unstored=1)],
        lag=0,
    )
    for number in range(20):
        round_number = 1 if number < 10 else 2 if number < 15 else 3
        history.tasks.append(Task(number, round_number, f"input {number}", "acknowledged", number % 2, number // 2))
        history.answers.append(
            Answer(number, 100 + number, ("results", 0, number), STARTED_AT + number)
            if number != 12
            else Answer(number, None, ("dead letters", 0, 0), STARTED_AT + number)
        )
        if number != 12:
            history.rows.append((100 + number, f"input {number}"))
            history.paid[f"input {number}"] = 1
    history.tasks += [Task(20, 2, "refused input", "refused"), Task(21, 2, "open input", "open")]
    history.replies = [(3, 103)]
    history.ids_looked_up = 20
    history.committed = [
        (STARTED_AT + 0.5, {}),
        (STARTED_AT + 4.2, {0: 2, 1: 2}),
        (STARTED_AT + 9, {0: 3, 1: 4}),
        (STARTED_AT + 30, {0: 10, 1: 10}),
    ]
    return history


def test_where_everything_holds_nothing_is_broken():
    assert judge(clean(), settle_seconds_max=15).violations == []


def test_results_that_were_in_flight_or_not_committed_at_a_kill_may_be_repeated_and_no_more():
    history = clean()
    # 3 were in flight, and tasks 4 and 5 had their results and were not committed when the offsets were last seen.
    history.answers += [replace(history.answers[n], position=("results", 1, n)) for n in range(4, 9)]
    history.ids_looked_up += 5

    assert judge(history).violations == []
    assert judge(history).lines[0].results_allowed == 5

    history.answers.append(replace(history.answers[9], position=("results", 1, 9)))
    history.ids_looked_up += 1

    assert judge(history).violations == ["round 1, replica killed: 6 results are repeated, 5 may be"]


def test_results_of_tasks_whose_offsets_are_not_known_may_be_repeated():
    history = clean()
    history.tasks[0] = replace(history.tasks[0], partition=-1, offset=-1)

    assert judge(history).lines[0].results_allowed == 6


def test_results_of_the_tasks_of_other_rounds_may_not_be_repeated():
    history = clean()
    history.tasks[4] = replace(history.tasks[4], round=2)
    history.tasks[5] = replace(history.tasks[5], round=2, partition=-1, offset=-1)

    assert judge(history).lines[0].results_allowed == 3


@pytest.mark.parametrize(("program", "broken"), [("gateway-1", ["6 results", "4 calls"]), ("processor-1", [])])
def test_a_crash_of_librdkafka_when_a_broker_comes_back_is_shown_and_a_processor_s_leaves_nothing_to_count(
    program, broken
):
    history = clean()
    history.rounds[0] = replace(history.rounds[0], restarts_broker=True)
    history.exits.append(Exit(1, program, -signal.SIGSEGV))

    assert judge(history).violations == []
    assert judge(history).lines[0].exits == 1

    history.answers += [replace(history.answers[n], position=("results", 1, n)) for n in range(6)]
    history.ids_looked_up += 6
    history.paid["input 3"] += 4

    assert [" ".join(text.split(": ")[1].split()[:2]) for text in judge(history).violations] == broken


@pytest.mark.parametrize(("round_number", "code"), [(1, 1), (1, -signal.SIGABRT), (2, -signal.SIGSEGV)])
def test_any_other_exit_is_a_broken_promise(round_number, code):
    history = clean()
    history.rounds[0] = replace(history.rounds[0], restarts_broker=True)
    history.exits.append(Exit(round_number, "gateway-1", code, ". The last lines"))

    assert judge(history).violations == [f"gateway-1 ended by itself with code {code}. The last lines"]


@pytest.mark.parametrize(("unstored", "allowed"), [(3, 2 + 3), (2000, 2 + ROWS_WAITING_MAX)])
def test_calls_at_the_provider_and_a_batch_of_answers_without_rows_may_be_paid_again_and_no_more(unstored, allowed):
    history = clean()
    history.cuts = [replace(history.cuts[0], in_flight=3000, at_provider=2, unstored=unstored)]
    history.paid["input 3"] += allowed

    assert judge(history).violations == []
    assert judge(history).lines[0].calls_allowed == allowed

    history.paid["input 9"] += 1

    assert judge(history).violations == [
        f"round 1, replica killed: {allowed + 1} calls are paid again, {allowed} may be"
    ]


def test_calls_whose_answers_are_cut_off_may_be_paid_again_and_are_counted():
    history = clean()
    history.paid.update(["input 15", "input 16"])

    verdict = judge(history)

    assert verdict.violations == []
    assert verdict.lines[2].calls_repeated == 2


def test_rounds_with_the_same_fault_share_a_line_and_the_last_line_has_all():
    history = clean()
    history.rounds[2] = replace(history.rounds[2], fault="replica killed")

    verdict = judge(history)

    assert verdict.lines == [
        Line("replica killed", 2, 15, results_allowed=5, calls_allowed=2, seconds_to_settle=11.0),
        Line("providers: 503", 1, 5, dead_letters=1, seconds_to_settle=2.0),
    ]
    assert verdict.total == Line(
        "all", 3, 20, dead_letters=1, results_allowed=5, calls_allowed=2, seconds_to_settle=11.0
    )


def lose_a_task(history):
    del history.answers[7]
    history.committed = history.committed[:1]
    return "1 acknowledged tasks are lost"


def commit_past_a_lost_task(history):
    del history.answers[7]
    return "past a record without an answer"


def commit_too_early(history):
    history.committed.insert(1, (STARTED_AT + 1, {0: 5}))
    return "past a record without an answer"


def double_a_row(history):
    history.rows.append((500, "input 7"))
    return "1 rows are doubled"


def answer_with_another_id(history):
    history.rows.append((500, "input 16"))
    history.answers.append(Answer(16, 500, ("results", 1, 0), STARTED_AT + 40))
    history.ids_looked_up += 1
    return "1 tasks have several ids"


def reply_with_another_id(history):
    history.replies = [(3, 104)]
    return "1 tasks have several ids"


def remove_a_row(history):
    del history.rows[7]
    return "1 ids in results or replies have no row"


def store_a_refused_task(history):
    history.rows.append((500, "refused input"))
    return "1 rows or answers of tasks that were refused"


def answer_a_refused_task(history):
    history.answers.append(Answer(20, None, ("dead letters", 0, 1), STARTED_AT))
    return "1 rows or answers of tasks that were refused"


def store_a_row_of_nobody(history):
    history.rows.append((500, "another input"))
    return "1 rows of nobody's task"


def show_an_id_before_its_row(history):
    history.ids_without_row.append(104)
    return "1 ids were read before their row was there"


def look_nothing_up(history):
    history.ids_looked_up = 0
    return "of 20 ids that were read only 0 were looked up at once"


def look_too_little_up(history):
    history.ids_looked_up -= 1
    return "of 20 ids that were read only 19 were looked up at once"


def commit_backwards(history):
    history.committed.append((STARTED_AT + 31, {0: 9}))
    return "went back from 10 to 9"


def see_no_offsets(history):
    history.committed = [(STARTED_AT, {})]
    return "committed offsets were never seen"


def leave_lag(history):
    history.lag = 1
    return "lag at rest is 1"


def know_no_lag(history):
    history.lag = None
    return "lag at rest is not known"


def exit_by_itself(history):
    history.exits.append(Exit(2, "processor-1", 1))
    return "processor-1 ended by itself with code 1"


def dead_letter_without_a_provider_failing(history):
    history.answers[4] = replace(history.answers[4], id=None)
    return "1 tasks are dead-lettered, and no provider failed"


def repeat_a_result_without_a_kill(history):
    history.answers.append(replace(history.answers[16], position=("results", 1, 0)))
    history.ids_looked_up += 1
    return "1 results are repeated, 0 may be"


def answer_with_a_result_and_a_dead_letter(history):
    history.answers.append(Answer(13, None, ("dead letters", 0, 1), STARTED_AT + 40))
    return "1 results are repeated, 0 may be"


def pay_twice_without_a_kill(history):
    history.paid += Counter(["input 13"])
    return "1 calls are paid again, 0 may be"


def never_settle(history):
    history.rounds[1] = replace(history.rounds[1], seconds_to_settle=None)
    return "not settled without help"


def settle_late(history):
    history.rounds[1] = replace(history.rounds[1], seconds_to_settle=15.1)
    return "settled after 15.1 seconds only"


def never_tell(history):
    history.untold.append(5)
    return "of 1 tasks with an open answer the gateway still knows nothing"


def leak(history):
    history.leaks.append("the log processor-1.log")
    return "data of a task is in the log processor-1.log"


@pytest.mark.parametrize(
    "break_it",
    [
        lose_a_task,
        commit_past_a_lost_task,
        commit_too_early,
        double_a_row,
        answer_with_another_id,
        reply_with_another_id,
        remove_a_row,
        store_a_refused_task,
        answer_a_refused_task,
        store_a_row_of_nobody,
        show_an_id_before_its_row,
        look_nothing_up,
        look_too_little_up,
        commit_backwards,
        see_no_offsets,
        leave_lag,
        know_no_lag,
        exit_by_itself,
        dead_letter_without_a_provider_failing,
        repeat_a_result_without_a_kill,
        answer_with_a_result_and_a_dead_letter,
        pay_twice_without_a_kill,
        never_settle,
        settle_late,
        never_tell,
        leak,
    ],
)
def test_every_broken_promise_is_told(break_it):
    history = clean()

    told = break_it(history)

    violations = judge(history, settle_seconds_max=15).violations
    assert any(told in violation for violation in violations), violations


def steady(results_after, gap_seconds, expected):
    """Return a history with ten results a second, and a fault after which this share of them go on, after a pause."""
    began_at = STARTED_AT + STEADY_SECONDS
    over_at = began_at + STEADY_SECONDS
    moments = [STARTED_AT + number / 10 for number in range(int(10 * STEADY_SECONDS))]
    after = int(10 * STEADY_SECONDS * results_after)
    first_at = began_at + gap_seconds
    moments += [first_at + number * (over_at - first_at) / after for number in range(after)]
    history = History(lag=0, ids_looked_up=len(moments), committed=[(over_at, {0: 1})])
    history.rounds = [
        Round(1, "replica stopped", seconds_to_settle=0.0, steady=expected, fault_at=began_at, over_at=over_at)
    ]
    for number, at in enumerate(moments):
        history.tasks.append(Task(number, 1, f"input {number}", "acknowledged"))
        history.rows.append((number, f"input {number}"))
        history.paid[f"input {number}"] = 1
        history.answers.append(Answer(number, number, ("results", 0, number), at, at))
    history.read_by_a_bare_consumer_at = [began_at, began_at + 3, over_at]
    return history


def test_a_steady_flow_is_compared_with_itself_and_with_a_bare_consumer():
    [line] = judge(steady(0.8, 2.0, Steady())).lines

    assert (line.results_kept, line.gap_seconds, line.bare_gap_seconds) == pytest.approx((0.8, 2.0, 17), abs=0.01)
    assert judge(steady(0.8, 2.0, Steady()), settle_seconds_max=15).violations == []


@pytest.mark.parametrize(
    ("expected", "violation"),
    [
        (Steady(results_least=0.9), "only 80% of the results went on"),
        (Steady(gap_seconds_max=1.9), "no result for 2.0 seconds"),
    ],
)
def test_a_flow_that_stops_for_too_long_or_shrinks_too_much_is_a_broken_promise_on_a_quiet_machine(expected, violation):
    history = steady(0.8, 2.0, expected)

    assert judge(history, settle_seconds_max=15).violations == [f"round 1, replica stopped: {violation}"]
    assert judge(history).violations == [], "a busy machine is slower"


def test_a_flow_in_which_nobody_is_killed_repeats_nothing():
    history = steady(0.8, 2.0, Steady(nothing_repeated=True))
    history.cuts = [Cut(1, STARTED_AT, processors=1, in_flight=9, at_provider=9, unstored=0)]
    assert judge(history).violations == []
    history.answers.append(replace(history.answers[-1], position=("results", 1, 0)))
    history.paid["input 3"] += 1
    history.ids_looked_up += 1

    [violation] = judge(history).violations
    assert violation == "round 1, replica stopped: 1 results and 1 calls are repeated, none may be"
