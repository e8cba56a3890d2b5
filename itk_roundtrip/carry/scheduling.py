"""Cut a series into slabs, and let worker processes carry them, whatever ITK does to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from itk_roundtrip.arguments import Progress
from itk_roundtrip.carry import slabs
from itk_roundtrip.carry.slabs import Job, Slab, SlabResult
from itk_roundtrip.errors import ITKCrashError
from itk_roundtrip.itk_io import view
from itk_roundtrip.itk_io.view import Hiding
from itk_roundtrip.pixels.formats import PixelType, bytes_per_pixel
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.processes import Outcome, Task, Workers
from itk_roundtrip.series.find import Instance, Series
from itk_roundtrip.volume import read as reader

SLAB_BYTES = 16 << 20
"""Pixels of a slab, as ITK holds them: enough to keep it busy, few enough for any memory."""


def cut_into_slabs(
    job: Job, series: Series, names: tuple[str, ...], carried: Mapping[str, Carriage], jobs: int
) -> list[Slab]:
    """Cut the series into slabs of one size and kind: small enough for the memory, enough for all processes."""
    types: dict[str, PixelType] = {}
    planned = dict(carried)
    for several in _by_kind(carried).values():
        for_itk, pixel_type = reader.plan_pixel_type(several)
        planned.update(for_itk)
        types.update(dict.fromkeys(several, pixel_type))
    written = tuple(view.derived_names(names)) if job.identity == "derived" else names
    result: list[Slab] = []
    start = 0
    for _, group in groupby(series.instances, key=lambda one: _kind(one, planned[one.name])):
        alike = list(group)
        first = alike[0]
        pixel_type = types.get(first.name, "UC")
        slice_bytes = (first.rows or 1) * (first.columns or 1) * bytes_per_pixel(pixel_type) * first.frames
        length = max(1, min(SLAB_BYTES // slice_bytes, -(-len(names) // jobs)))
        for at in range(0, len(alike), length):
            instances = tuple(alike[at : at + length])
            result.append(
                Slab(
                    series=replace(series, instances=instances),
                    first=start,
                    output_names=written[start : start + len(instances)],
                    carried=tuple(planned[one.name] for one in instances),
                    pixel_type=pixel_type,
                )
            )
            start += len(instances)
    return result


def _by_kind(carried: Mapping[str, Carriage]) -> dict[str, dict[str, Carriage]]:
    """Return the instances that ITK carries, by name, of each kind that has a pixel type of its own."""
    kinds: dict[str, dict[str, Carriage]] = {}
    for name, how in carried.items():
        if how.path != "source":
            kind = how.seen.stored_pixel_type if how.seen.samples > 1 else "scalar"
            kinds.setdefault(kind, {})[name] = how
    return kinds


def _kind(one: Instance, how: Carriage) -> tuple[object, ...]:
    """Return what the instances of one slab have in common."""
    return one.rows, one.columns, how.seen.stored_pixel_type, how.path == "source", how.framed


def carry_slabs(
    job: Job, parts: Sequence[Slab], workers: Workers, progress: Progress, first: Task | None = None
) -> tuple[SlabResult, Outcome | None]:
    """Let the workers carry all slabs; where one crashes ITK, show ITK less, and in the end name the file.

    Returns
    -------
    tuple
        What became of all slabs, and of the task that was to be done ``first``.
    """
    results: dict[int, SlabResult] = {}
    answer = None
    count = sum(len(slab) for slab in parts)
    tasks = deque([*([first] if first else []), *(Task(slabs.process, (job, slab)) for slab in parts)])
    for outcome in workers.run(tasks):
        if outcome.task is first:
            answer = outcome
        elif outcome.crashed:
            tasks.extend(Task(slabs.process, (job, slab)) for slab in after_crash(job, outcome))
        else:
            results[outcome.task.arguments[1].first] = outcome.value
            progress("Carrying", sum(result.slices for result in results.values()), count)
    total = SlabResult()
    for place in sorted(results):  # in their order, whichever came first
        total.add(results[place])
    return total, answer


def after_crash(job: Job, outcome: Outcome) -> list[Slab]:
    """Return what to try where a worker crashed: less is shown, then single slices, then the source is kept.

    Raises
    ------
    ITKCrashError
        Nothing is left to try.
    """
    slab: Slab = outcome.task.arguments[1]
    most = Hiding.ALL_BUT_PIXELS if job.headers == "complete" else Hiding.UNCARRIABLE
    if slab.hiding < most and not slab.carried[0].framed:
        return [replace(slab, hiding=Hiding(slab.hiding + 1))]
    if len(slab) > 1:
        return [slab.one(index) for index in range(len(slab))]
    if not slab.is_kept and job.headers == "complete" and not job.transfer_syntax:
        return [slab.kept("ITK crashed on it")]
    name = slab.series.instances[0].name
    raise ITKCrashError(f"ITK crashed on {name}; nothing was written.", path=name)


def pixel_types(parts: Sequence[Slab], result: SlabResult) -> str:
    """Return the pixel types of the images that ITK read, joined by a comma; empty if it carried none."""
    carried = any(count for path, count in result.paths.items() if path != "source")
    return ", ".join(sorted({one.pixel_type for one in parts if not one.is_kept})) if carried else ""
