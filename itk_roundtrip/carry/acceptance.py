"""Whether a round trip is accepted: what was written is judged, and nothing but inherited faults may stand there."""

from __future__ import annotations

from dataclasses import replace

from itk_roundtrip import tags
from itk_roundtrip.carry.slabs import Job, SlabResult
from itk_roundtrip.errors import VerificationError
from itk_roundtrip.series.find import Series, Skipped
from itk_roundtrip.verify.across import Sides
from itk_roundtrip.verify.findings import Identity, Report, first_error
from itk_roundtrip.verify.judge import judge
from itk_roundtrip.verify.pairing import BY_NAME, Paired, Pairing, pair


def judged(
    result: SlabResult, source: Series, job: Job, folders: tuple[str, str], uids: tuple[frozenset[str], frozenset[str]]
) -> Report:
    """Return the report of the verification, in which nothing but inherited faults stand.

    Raises
    ------
    VerificationError
        Something else was found.
    """
    reports = [one for one in result.reports if one.instance is not None]  # of the others it was said already
    instances = tuple(one.instance for one in reports if one.instance is not None)
    uid = job.plan.series_instance_uid if job.plan else source.series_instance_uid
    written = Series(uid, instances, job.output)
    pairing = pair(source.instances, instances)
    unknown = {path.name for path in job.output.iterdir()} - {one.pair.written for one in result.reports}
    skipped = [Skipped(name, "was not written by this run") for name in sorted(unknown)]
    sides = Sides(source, written, *uids, skipped, pairing, reports, job.identity)
    report = judge(_as_carried(sides), result.tally, folders, guessed=False)
    # A clock may be wrong, and SOURCE_DATE_EPOCH any time: what is made must not depend on them.
    first = next(
        (one for one in report.findings if one.severity != "info" and not one.inherited and one.check != "TIM-01"), None
    )
    first = first or first_error(report.findings)
    unread = next((one for one in report.findings if one.check == "FIL-01" and one.severity == "error"), None)
    first = unread or first  # what cannot be read has no counterpart either
    if first is not None:
        where = f"{first.slice or 'the series'}{f', {first.tag}' if first.tag else ''}"
        error = VerificationError(
            f"What was written is not what it must be ({first.check}, {where}: {first.message}); nothing was"
            " published.",
            path=first.slice,
            tag=first.tag,
        )
        error.findings = report.findings
        raise error
    return report


def _as_carried(sides: Sides) -> Sides:
    """Return the sides with the pairs that were carried; those found from the files alone must not contradict them.

    Raises
    ------
    VerificationError
        They do: a written file would be taken for that of another slice.
    """
    sources = {one.name: one for one in sides.source.instances}
    carried = {report.pair.written: sources[report.pair.source] for report in sides.reports}
    told = {one.written.name: one for one in sides.pairing.pairs}
    for name, one in told.items():
        if one.source is not carried[name]:
            raise VerificationError(
                f"{name} would be taken for {one.source.name} by its {one.by}; nothing was published.", path=name
            )
    pairs = tuple(told.get(one.name) or Paired(carried[one.name], one, BY_NAME) for one in sides.written.instances)
    names = {report.pair.source for report in sides.reports}
    left = tuple(one for one in sides.source.instances if one.name not in names)
    return replace(sides, pairing=Pairing(pairs, left, ()))


def concerns(result: SlabResult, identity: Identity) -> list[str]:
    """Return what a user should know of a result that was accepted."""
    told = []
    if result.hiding:
        told.append(
            "ITK cannot take the headers as they stand; what it cannot take was hidden from it"
            + (" and restored." if result.reports else " and is lost.")
        )
    told += sorted(
        {
            f"Compressed pixels were kept and {finding.message}."
            for finding in result.tally.findings.values()
            if finding.check == "PIX-02" and finding.message.startswith("not decoded")
        }
    )
    if result.signed and identity == "copy":
        told.append("A digital signature was kept; it may not hold for the re-encoded file.")
    if tags.ENCRYPTED_ATTRIBUTES_SEQUENCE in result.removed:
        told.append("Encrypted attributes were removed: they decrypt to the identity of the source.")
    return told
