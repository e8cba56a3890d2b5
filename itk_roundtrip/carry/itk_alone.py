"""A slab as ITK alone writes it, for ``headers="itk"``: nothing is completed, nothing undone, nothing verified.

ITK reads the slices, the edits that its dictionaries can carry are made, and ITK writes real values as its example
does. What it loses on the way is counted.
"""

from __future__ import annotations

from dataclasses import replace

from itk_roundtrip import tags
from itk_roundtrip.carry.instances import Written
from itk_roundtrip.carry.slabs import (
    ITKRefusal,
    Job,
    Slab,
    SlabResult,
    count_losses,
    edits_of,
    header_by_itk,
    read_with_itk,
    smaller_slabs,
    source_header,
    write_with_itk,
)
from itk_roundtrip.derivation.plan import dictionary_edits
from itk_roundtrip.dicom.edits import Edits, Removed
from itk_roundtrip.dicom.headers import Header
from itk_roundtrip.errors import SeriesReadError, SeriesWriteError
from itk_roundtrip.itk_io.view import Hiding
from itk_roundtrip.pixels.formats import Digest, shape_of_frames
from itk_roundtrip.rules import is_group_length
from itk_roundtrip.volume import write as writer

_MOST = Hiding.UNCARRIABLE
"""Most that is hidden from ITK: where nothing is restored, hiding all but pixels would leave no header."""


def process(job: Job, slab: Slab) -> SlabResult:
    """Read and write a slab with ITK alone, into the output folder.

    What ITK cannot take of the headers is hidden from it; where it still fails, each instance is tried alone.

    Raises
    ------
    SeriesReadError, SeriesWriteError
        ITK cannot carry an instance.
    """
    error: SeriesReadError | SeriesWriteError
    for hiding in [hiding for hiding in Hiding if slab.hiding <= hiding <= _MOST] or [slab.hiding]:
        try:
            return _carry(job, replace(slab, hiding=hiding))
        except ITKRefusal as refusal:
            error = refusal.error
    if len(slab) == 1:
        raise error
    total = SlabResult()
    for index in range(len(slab)):
        total.add(process(job, slab.single(index)))
    return total


def after_crash(job: Job, slab: Slab) -> list[Slab]:
    """Return the slabs to try after a crash of ITK: with less shown, then slice by slice; none if nothing is left."""
    return smaller_slabs(slab, _MOST)


def _carry(job: Job, slab: Slab) -> SlabResult:
    """Read and write a slab with ITK, and count what became of its elements."""
    planes, instances = slab.planes, slab.series.instances
    headers = {instance.name: source_header(job, instance) for instance in instances}
    volume = read_with_itk(job, slab, planes, headers, undo_inversion=False)
    stored = writer.stored_slices(volume)
    digests = [Digest(shape_of_frames(1, words)).add(words).text() for words in stored]
    edits = [
        edits_of(job, slab, index, headers[instance.name], [Written(words)], digest)
        for index, (instance, words, digest) in enumerate(zip(instances, stored, digests, strict=True))
    ]
    files = [job.output / name for name in slab.output_names]
    job.output.mkdir(exist_ok=True)
    write_with_itk(slab, volume, None, edits, files)
    result = SlabResult(slices=len(slab), hiding=slab.hiding)
    for plane, file, changes in zip(planes, files, edits, strict=True):
        source = headers[plane.instance.name]
        count_losses(result, source, header_by_itk(slab, file, stored[0].nbytes), changes)
        _count_edits(result, source, changes)
        result.paths[plane.carriage.path] += 1
    return result


def _count_edits(result: SlabResult, source: Header, changes: Edits) -> None:
    """Count the elements of an instance that no edit touches, and those that an edit of the dictionary changes."""
    present = {tag for tag, _, _ in source.spans if not is_group_length(tag)}
    result.kept += len(present - changes.keys() - {tags.PIXEL_DATA})
    carried = dictionary_edits(changes)
    for tag, edit in changes.items():
        if f"{tag >> 16:04x}|{tag & 0xFFFF:04x}" in carried:
            (result.removed if isinstance(edit, Removed) else result.replaced)[tag] += 1
