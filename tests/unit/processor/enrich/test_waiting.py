"""The queue of a provider: who is next, and nobody is lost or served twice."""

from hypothesis import given
from hypothesis import strategies as st

from processor.enrich.waiting import BACKLOG_TURNS, Waiting


def serve_all(waiting, now=0.0):
    return [waiting.next(now) for _ in range(len(waiting))]


def queue(*untils):
    """Return a queue with one waiter for each deadline (None: backlog), named by its number."""
    waiting = Waiting()
    return waiting, [waiting.enter(waiter, waiting.number(), until) for waiter, until in enumerate(untils)]


def test_awaited_records_go_first_by_deadline_and_the_others_in_order():
    waiting, _ = queue(None, 30.0, None, 10.0, 20.0)

    assert serve_all(waiting) == [3, 4, 1, 0, 2]
    assert waiting.next(0.0) is None


def test_a_retry_keeps_its_place_before_later_records():
    waiting = Waiting()
    first, second = waiting.number(), waiting.number()
    waiting.enter("second", second, None)
    waiting.enter("first", first, None)

    assert serve_all(waiting) == ["first", "second"]


def test_while_both_wait_one_start_in_ten_is_the_backlogs():
    waiting, _ = queue(*[None] * 5, *[99.0] * 50)

    served = serve_all(waiting)

    assert [turn for turn, waiter in enumerate(served, 1) if waiter < 5] == [10, 20, 30, 40, 50]


def test_a_record_whose_deadline_is_over_counts_as_backlog_in_its_old_place():
    waiting, _ = queue(None, 10.0, None, 20.0)
    waiting.expire(10.0)
    assert (waiting.awaited, waiting.backlog) == (1, 3)

    assert serve_all(waiting, 15.0) == [3, 0, 1, 2]


def test_who_came_last_is_found_whether_it_is_awaited_or_not_and_whatever_has_left():
    waiting, places = queue(None, 10.0, None, None)
    waiting.leave(places[3])
    assert waiting.last(()) is places[2]
    assert waiting.last({places[2]}) is places[1]
    assert waiting.last(places) is None


def test_a_lent_deadline_only_brings_a_record_forward():
    waiting, places = queue(None, 10.0, None)
    waiting.lend(places[2], 5.0)
    waiting.lend(places[1], 3.0)
    assert (waiting.awaited, waiting.backlog) == (2, 1)

    assert serve_all(waiting) == [2, 1, 0]
    waiting.lend(places[0], 50.0)
    assert len(waiting) == 0, "it no longer waits"


class NaiveQueue:
    """The same queue as a list that is sorted whenever somebody is served."""

    def __init__(self):
        self.waiters, self.turns = {}, 0  # waiter -> [number, until]

    def expire(self, now):
        for place in self.waiters.values():
            if place[1] is not None and place[1] <= now:
                place[1] = None

    def counts(self):
        untils = [until for _, until in self.waiters.values()]
        return len(untils) - untils.count(None), untils.count(None)

    def next(self, now):
        self.expire(now)
        if not self.waiters:
            return None
        self.turns += 1
        awaited, backlog = self.counts()
        is_backlogs = not awaited or (backlog and self.turns % BACKLOG_TURNS == 0)
        group = [waiter for waiter, (_, until) in self.waiters.items() if (until is None) == bool(is_backlogs)]
        served = min(group, key=lambda waiter: (self.waiters[waiter][1] or 0.0, self.waiters[waiter][0]))
        del self.waiters[served]
        return served


UNTILS = st.sampled_from([None, None, 1.0, 2.0, 3.0, 5.0, 8.0])
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), UNTILS),
        st.tuples(st.just("return"), UNTILS),
        st.tuples(st.just("next"), st.sampled_from([0.0, 0.0, 0.5, 1.0])),
        st.tuples(st.just("leave"), st.integers(0, 20)),
        st.tuples(st.just("lend"), st.integers(0, 20), UNTILS.filter(bool)),
        st.tuples(st.just("expire"), st.sampled_from([0.0, 1.0])),
    ),
    max_size=80,
)


@given(EVENTS)
def test_in_any_order_of_events_it_does_what_a_sorted_list_would_do(events):
    waiting, naive, now = Waiting(), NaiveQueue(), 0.0
    places, served = [], []

    def enter(number, until):
        waiter = len(places)
        places.append(waiting.enter(waiter, number, until))
        naive.waiters[waiter] = [number, until]

    def serve():
        waiter = waiting.next(now)
        assert waiter == naive.next(now)
        if waiter is not None:
            served.append(waiter)

    for event, *values in events:
        match event, *values:
            case "enter", until:
                enter(waiting.number(), until)
            case "return", until if served:  # a retry: a new waiter with its old number
                enter(places[served.pop()].number, until)
            case "next", seconds:
                now += seconds
                serve()
            case "expire", seconds:
                now += seconds
                waiting.expire(now)
                naive.expire(now)
            case "leave", n if places:
                waiting.leave(places[n % len(places)])
                naive.waiters.pop(n % len(places), None)
            case "lend", n, until if places:
                waiting.lend(places[n % len(places)], until)
                place = naive.waiters.get(n % len(places))
                if place is not None and (place[1] or 0.0) < until:
                    place[1] = until
        assert (waiting.awaited, waiting.backlog) == naive.counts()
        assert len(waiting) == len(naive.waiters)

    while naive.waiters:
        serve()
    assert waiting.next(now) is None
    assert len(waiting) == 0


@given(st.lists(st.sampled_from([None, 9.0]), min_size=1, max_size=100))
def test_the_backlog_gets_one_start_in_ten_for_as_long_as_it_waits(untils):
    waiting, _ = queue(*untils)
    starts_of_others = 0
    while waiting.backlog:
        starts_of_others = 0 if untils[waiting.next(0.0)] is None else starts_of_others + 1
        assert starts_of_others < BACKLOG_TURNS
