"""The summary that the scale demo prints at its end."""

import pytest

from sandbox.demo import Mismatch
from sandbox.scale_demo import check, sentence
from sandbox.scale_figures import Phase, Results


def results_of(sent, *came):
    results = Results()
    results.send(sent)
    for task_id in came:
        results.came(task_id, seconds=0.0)
    return results


def test_it_says_in_a_sentence_what_was_measured():
    scaled = [Phase(1, 100.0, 0, 0), Phase(2, 199.0, 0, 0), Phase(4, 390.0, 0, 0)]
    limited = [Phase(4, 19.9, 0, 0), Phase(2, 20.0, 0, 0), Phase(1, 19.4, 0, 0)]

    said = sentence(scaled, limited)

    assert "4 replicas did 3.9 times as many tasks a second as one" in said
    assert "19.9 with 4, 20.0 with 2, 19.4 with 1" in said


@pytest.mark.parametrize(
    ("came", "rows", "calls_repeated"),
    [((0, 1, 1), 2, 0), ((0, 1, 2), 2, 0), ((0, 1), 3, 0), ((0, 1), 1, 0), ((0, 1), 2, 1)],
    ids=["a result twice", "a result of no task", "a row too many", "a row too few", "a call twice"],
)
def test_a_promise_that_is_broken_is_told_in_one_line(came, rows, calls_repeated):
    with pytest.raises(Mismatch, match=r"^2 tasks became [^\n]*$"):
        check(results_of(2, *came), rows, calls_repeated)


def test_promises_that_are_kept_need_no_word():
    check(results_of(2, 1, 0), rows=2, calls_repeated=0)
