"""A series cut into slabs, and the slabs handed to worker processes, which ITK may crash."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol

from itk_roundtrip.arguments import Progress
from itk_roundtrip.carry.processed import PlaneSurvey, Values
from itk_roundtrip.carry.slabs import Job, Slab, SlabResult, check_slab, survey_slab
from itk_roundtrip.derivation.caller import Settings
from itk_roundtrip.errors import ITKCrashError
from itk_roundtrip.itk_io import view
from itk_roundtrip.pixels.formats import PixelType, bytes_per_pixel
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.processes import Pool, Task
from itk_roundtrip.series.find import Instance, Series
from itk_roundtrip.volume import read as reader

SLAB_BYTES = 16 << 20
"""Bytes of the image of a slab: enough to keep ITK busy, few enough for any memory."""
FEW_SLICES = 32
"""So many slices are not shared out: they are done before another process has loaded ITK."""


def cut_into_slabs(
    job: Job,
    series: Series,
    names: tuple[str, ...],
    carriages: Mapping[str, Carriage],
    jobs: int,
    values: Mapping[str, Values] | None = None,
    settings: Mapping[str, Settings] | None = None,
) -> list[Slab]:
    """Cut a series into slabs of instances alike in size and kind: at most SLAB_BYTES each, enough for all jobs.

    Parameters
    ----------
    job, series, names
        What the slabs share, the instances in order, and the names of their files.
    carriages, values, settings
        How the pixels of each instance are carried, its processed values, and attributes that the caller sets, if
        there are any, by name.
    jobs
        That work at the same time.
    """
    types: dict[str, PixelType] = {}
    planned = dict(carriages)
    for alike in _by_kind(carriages).values():
        for_itk, pixel_type = reader.plan_pixel_type(alike)
        planned.update(for_itk)
        types.update(dict.fromkeys(alike, pixel_type))
    written = tuple(view.derived_names(names)) if job.identity == "derived" else names
    result: list[Slab] = []
    start = 0
    for _, group in groupby(series.instances, key=lambda instance: _kind(instance, planned[instance.name])):
        run = list(group)
        first = run[0]
        pixel_type = types.get(first.name, "UC")
        slice_bytes = (first.rows or 1) * (first.columns or 1) * bytes_per_pixel(pixel_type) * first.frames
        length = max(1, min(SLAB_BYTES // slice_bytes, max(FEW_SLICES, -(-len(names) // jobs))))
        for at in range(0, len(run), length):
            instances = tuple(run[at : at + length])
            result.append(
                Slab(
                    series=replace(series, instances=instances),
                    first=start,
                    output_names=written[start : start + len(instances)],
                    carried=tuple(planned[instance.name] for instance in instances),
                    pixel_type=pixel_type,
                    values=tuple(values[instance.name] for instance in instances) if values else (),
                    settings=tuple(settings.get(instance.name, {}) for instance in instances) if settings else (),
                )
            )
            start += len(instances)
    return result


def _by_kind(carriages: Mapping[str, Carriage]) -> dict[str, dict[str, Carriage]]:
    """Return the carriages by name of the instances that ITK carries, grouped: grey, and each pixel type of colours."""
    kinds: dict[str, dict[str, Carriage]] = {}
    for name, carriage in carriages.items():
        if carriage.path != "source":
            kind = carriage.seen.stored_pixel_type if carriage.seen.samples > 1 else "scalar"
            kinds.setdefault(kind, {})[name] = carriage
    return kinds


def _kind(instance: Instance, carriage: Carriage) -> tuple[object, ...]:
    """Return what the instances of a slab have in common: size, pixel type, whether ITK carries them, and how."""
    return instance.rows, instance.columns, carriage.seen.stored_pixel_type, carriage.path == "source", carriage.framed


class Carrier(Protocol):
    """A module that carries slabs: :mod:`itk_roundtrip.carry.slabs`, or :mod:`itk_roundtrip.carry.itk_alone`."""

    def process(self, job: Job, slab: Slab) -> SlabResult:
        """Carry a slab from its sources into the staging folder."""

    def after_crash(self, job: Job, slab: Slab) -> list[Slab]:
        """Return the slabs to try after a crash of ITK; none if nothing is left to try."""


def carry_slabs(
    carrier: Carrier,
    job: Job,
    parts: Sequence[Slab],
    workers: Pool,
    progress: Progress,
) -> SlabResult:
    """Let the workers carry all slabs; one that crashes ITK is tried again as long as its carrier knows how.

    Raises
    ------
    ITKCrashError
        ITK crashed on an instance whatever was tried.
    """
    results: dict[int, SlabResult] = {}
    count = sum(len(slab) for slab in parts)
    tasks = deque(Task(carrier.process, (job, slab)) for slab in parts)
    for outcome in workers.run(tasks):
        if outcome.crashed:
            crashed: Slab = outcome.task.arguments[1]
            attempts = carrier.after_crash(job, crashed)
            if not attempts:
                name = crashed.series.instances[0].name
                raise ITKCrashError(f"ITK crashed on {name}; nothing was written.", path=name)
            tasks.extend(Task(carrier.process, (job, slab)) for slab in attempts)
        else:
            results[outcome.task.arguments[1].first] = outcome.value
            progress("Carrying", sum(result.slices for result in results.values()), count)
    total = SlabResult()
    for place in sorted(results):  # in their order, whichever came first
        total.add(results[place])
    return total


def survey_slabs(
    job: Job, parts: Sequence[Slab], workers: Pool, progress: Progress
) -> dict[tuple[str, int | None], PlaneSurvey]:
    """Let the workers survey the processed values of all slabs.

    Returns
    -------
    dict
        By the name of the instance and the index of the frame.

    Raises
    ------
    ITKCrashError
        ITK crashed on a slab.
    """
    surveys: dict[tuple[str, int | None], PlaneSurvey] = {}
    count, done = sum(len(slab) for slab in parts), 0
    for outcome in workers.run(deque(Task(survey_slab, (job, slab)) for slab in parts)):
        slab: Slab = outcome.task.arguments[1]
        if outcome.crashed:
            name = slab.series.instances[0].name
            raise ITKCrashError(f"ITK crashed on {name} or a slice behind it; nothing was written.", path=name)
        for plane, of_plane in zip(slab.planes, outcome.value, strict=True):
            surveys[plane.instance.name, plane.frame] = of_plane
        done += len(slab)
        progress("Surveying", done, count)
    return surveys


def check_slabs(job: Job, parts: Sequence[Slab], workers: Pool, progress: Progress) -> None:
    """Let the workers check that compressed slices, of which values were made, are decoded rightly.

    Raises
    ------
    ITKCrashError
        ITK crashed on a slab.
    """
    done = 0
    for outcome in workers.run(deque(Task(check_slab, (job, slab)) for slab in parts)):
        slab: Slab = outcome.task.arguments[1]
        if outcome.crashed:
            name = slab.series.instances[0].name
            raise ITKCrashError(f"ITK crashed on {name} or a slice behind it; nothing was written.", path=name)
        done += len(slab)
        progress("Checking", done, sum(map(len, parts)))


def pixel_types(parts: Sequence[Slab], result: SlabResult) -> str:
    """Return the pixel types of the images that ITK read, joined by a comma; empty if it carried none."""
    carried = any(count for path, count in result.paths.items() if path != "source")
    return ", ".join(sorted({slab.pixel_type for slab in parts if not slab.is_kept})) if carried else ""
