"""The series of an archive, carried by workers of this machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from itk_roundtrip.archives.index import Index
from itk_roundtrip.archives.plan import Unit, shared_out, units
from itk_roundtrip.archives.unit import TO_CARRY, TO_SHOW, Carried, Request, carry_unit, ended, page_unit
from itk_roundtrip.processes import Outcome, Task, Workers

LARGEST_FIRST = "cost DESC, number"


def carried_here(index: Index, request: Request, workers: Workers, jobs: int) -> Iterator[tuple[Unit, Carried]]:
    """Carry the planned series, and yield what became of each as it is done.

    Those that would keep one worker busy when the others are done are shared out slab by slab, one after the other. All
    others are carried by one worker each, the largest first. A series that ends its worker is tried again at the end,
    with a process of its own for its slabs, which ITK may crash.
    """
    costs = list(index.planned("cost, can_split", TO_CARRY, LARGEST_FIRST))
    count = shared_out([cost for cost, _ in costs], [bool(can_split) for _, can_split in costs], jobs)
    workers.start()
    rest = units(index, TO_CARRY, LARGEST_FIRST)
    for unit in islice(rest, count):
        yield unit, carry_unit(unit, request, workers, jobs)
    crashed: list[Unit] = []
    for unit, outcome in _outcomes((Task(carry_unit, (each, request)) for each in rest), workers, jobs):
        if outcome.crashed:
            crashed.append(unit)
        else:
            yield unit, outcome.value
    again = (Task(carry_unit, (each, request, None, 1, True)) for each in crashed)
    for unit, outcome in _outcomes(again, workers, jobs):
        yield unit, ended(unit) if outcome.crashed else outcome.value
    pages = (Task(page_unit, (each, request)) for each in units(index, TO_SHOW, "number"))
    for unit, outcome in _outcomes(pages, workers, jobs):
        yield unit, ended(unit) if outcome.crashed else outcome.value


def _outcomes(tasks: Iterator[Task], workers: Workers, jobs: int) -> Iterator[tuple[Unit, Outcome]]:
    """Run tasks and yield the outcome of each; only a few are held at a time, whatever their number."""
    waiting: deque[Task] = deque()

    def fill() -> None:
        while len(waiting) <= jobs and (task := next(tasks, None)) is not None:
            waiting.append(task)

    fill()
    for outcome in workers.run(waiting):
        fill()
        yield outcome.task.arguments[0], outcome
