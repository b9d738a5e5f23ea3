"""Shares a quota's slots out among the replicas of the fleet, by need. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

PATIENCE_SECONDS = 10.0
"""A replica that wants a slot and has had none for this long goes first."""

BACKLOG_PARTS = 10
"""Awaited records leave one slot in this many to the backlog."""


class Lease(NamedTuple):
    """A replica's row for one quota: the slots that it has, and those that it wants."""

    slots: int
    awaited: int
    """Slots that it wants for records that somebody waits for."""
    backlog: int
    """Slots that it wants for other records, and those that its requests hold."""
    unserved_seconds: float
    """For how long it has wanted slots and had none; 0 if it has some or wants none."""


class Grant(NamedTuple):
    """What a replica may use from now on."""

    limit: int
    """How many slots its requests may hold."""
    slots: int
    """What its row must say: the limit, or more for as long as its requests hold more."""


def grant(quota: int, leases: Mapping[str, Lease], me: str, in_use: Callable[[int], int]) -> Grant:
    """Return what this replica may use.

    If others need its slots, its limit goes down at once, and its row follows as its requests end. If it needs theirs,
    it gets what their rows do not say any more.

    Invariant: if every replica follows its grants, the slots of all rows never add up to more than the quota.

    Args:
        quota: the slots of the whole fleet.
        leases: all rows, read under the lock under which this replica's row is written.
        me: this replica, whose row says what it wants now.
        in_use: lowers this replica's limit to the given one, and then returns the slots that its requests hold.
    """
    others = sum(lease.slots for replica, lease in leases.items() if replica != me)
    limit = max(0, min(share(quota, leases)[me], quota - others))
    return Grant(limit, max(limit, in_use(limit)))


def is_urgent(mine: Lease, others: Iterable[Lease]) -> bool:
    """Return whether to renew soon: this replica wants slots, or has some that another one wants."""
    return _is_short(mine) or (mine.slots > 0 and any(map(_is_short, others)))


def _is_short(lease: Lease) -> bool:
    return lease.slots < lease.awaited + lease.backlog


def share(quota: int, leases: Mapping[str, Lease]) -> dict[str, int]:
    """Return replica -> its share. The shares add up to the quota.

    First come the replicas that were passed over for too long, then awaited records, then the backlog. A part is
    reserved for the backlog, and goes to the replicas with the lowest shares. What nobody needs is divided, so that a
    replica that gets work can begin at once.
    """

    def order(replica: str) -> tuple[float, int, str]:  # who keeps what it has loses no time
        lease = leases[replica]
        return (-lease.unserved_seconds if lease.unserved_seconds >= PATIENCE_SECONDS else 0.0, -lease.slots, replica)

    replicas = sorted(leases, key=order)
    shares = dict.fromkeys(replicas, 0)

    def fill(slots: int, wanted: Callable[[str], int]) -> int:
        """Raise the lowest shares first, none beyond what is wanted, and return the slots that are left."""
        wants = {replica: want for replica in replicas if (want := wanted(replica)) > shares[replica]}
        while slots and wants:
            level = min(shares[replica] for replica in wants)
            lowest = [replica for replica in wants if shares[replica] == level][:slots]
            higher = [wants[replica] for replica in lowest] + [shares[replica] for replica in wants]
            more = min(min(each for each in higher if each > level) - level, slots // len(lowest))
            for replica in lowest:
                shares[replica] += more
            slots -= more * len(lowest)
            wants = {replica: want for replica, want in wants.items() if want > shares[replica]}
        return slots

    slots = fill(quota, lambda replica: int(leases[replica].unserved_seconds >= PATIENCE_SECONDS))
    reserved = min(quota // BACKLOG_PARTS, sum(lease.backlog for lease in leases.values()), slots)
    slots = fill(slots - reserved, lambda replica: leases[replica].awaited)
    slots += fill(reserved, lambda replica: min(shares[replica], leases[replica].awaited) + leases[replica].backlog)
    slots = fill(slots, lambda replica: leases[replica].awaited + leases[replica].backlog)
    replicas.sort()  # what nobody needs must not change hands only because the rows follow the shares
    fill(slots, lambda _: quota)
    return shares
