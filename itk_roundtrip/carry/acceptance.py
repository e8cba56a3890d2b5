"""Acceptance of a round trip: the written series is verified, and must have no findings but those of its source."""

from __future__ import annotations

from dataclasses import replace

from itk_roundtrip import tags
from itk_roundtrip.carry.slabs import Job, SlabResult
from itk_roundtrip.errors import VerificationError
from itk_roundtrip.series.find import Series, Skipped
from itk_roundtrip.tags import tag_text
from itk_roundtrip.verify.findings import Identity, Report, first_error
from itk_roundtrip.verify.judge import judge
from itk_roundtrip.verify.pairing import BY_NAME, Paired, Pairing, pair
from itk_roundtrip.verify.series_pair import SeriesPair


def judged(
    result: SlabResult, source: Series, job: Job, folders: tuple[str, str], uids: tuple[frozenset[str], frozenset[str]]
) -> Report:
    """Return the report of the verification; it holds no findings but inherited ones.

    Raises
    ------
    VerificationError
        Something else was found.
    """
    # Of files without an instance it was said already what is wrong with them.
    reports = [of_pair for of_pair in result.reports if of_pair.instance is not None]
    instances = tuple(of_pair.instance for of_pair in reports if of_pair.instance is not None)
    uid = job.plan.series_instance_uid if job.plan else source.series_instance_uid
    written = Series(uid, instances, job.output)
    pairing = pair(source.instances, instances)
    unexpected = {path.name for path in job.output.iterdir()} - {of_pair.pair.written for of_pair in result.reports}
    skipped = [Skipped(name, "was not written by this run") for name in sorted(unexpected)]
    comparison = SeriesPair(source, written, *uids, skipped, pairing, reports, job.identity)
    report = judge(_as_carried(comparison), result.tally, folders, guessed=False)
    first = next(
        (
            finding
            for finding in report.findings
            if finding.severity != "info" and not finding.inherited and finding.check not in _WARN_ONLY
        ),
        None,
    )
    first = first or first_error(report.findings)
    unread = next(
        (finding for finding in report.findings if finding.check == "FIL-01" and finding.severity == "error"), None
    )
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


_WARN_ONLY = frozenset({
    "TIM-01",  # a clock may be wrong, and SOURCE_DATE_EPOCH any time: what is made must not depend on them
    "DER-02",  # no code of CID 7203 fits many filters
    "PIX-05",  # a caller may ask for values that pile up at a limit
})  # fmt: skip
"""Checks whose warnings do not keep a series from being published."""


def _as_carried(comparison: SeriesPair) -> SeriesPair:
    """Return the comparison with each written file paired with the source that it was made of.

    The pairs that `verify` finds from the files alone must be the same, as far as it finds any.

    Raises
    ------
    VerificationError
        A written file would be taken for that of another slice.
    """
    sources = {instance.name: instance for instance in comparison.source.instances}
    carried = {report.pair.written: sources[report.pair.source] for report in comparison.reports}
    by_files = {paired.written.name: paired for paired in comparison.pairing.pairs}
    for name, paired in by_files.items():
        if paired.source is not carried[name]:
            raise VerificationError(
                f"{name} would be taken for {paired.source.name} by its {paired.by}; nothing was published.", path=name
            )
    pairs = tuple(
        by_files.get(instance.name) or Paired(carried[instance.name], instance, BY_NAME)
        for instance in comparison.written.instances
    )
    criteria = {paired.written.name: paired.by for paired in pairs}
    reports = tuple(
        replace(report, pair=replace(report.pair, by=criteria[report.pair.written])) for report in comparison.reports
    )
    comparison = replace(comparison, reports=reports)
    if comparison.pairing.by_region:
        return replace(comparison, pairing=replace(comparison.pairing, pairs=pairs, written_left=()))
    names = {report.pair.source for report in comparison.reports}
    left = tuple(instance for instance in comparison.source.instances if instance.name not in names)
    return replace(comparison, pairing=Pairing(pairs, left, ()))


def concerns(result: SlabResult, identity: Identity, report: Report | None) -> list[str]:
    """Return warnings of a round trip: hidden headers, undecoded pixels, signatures, encrypted attributes.

    Parameters
    ----------
    result, identity
        Of all slabs.
    report
        Of the verification; ``None`` if ITK alone wrote them.
    """
    warnings = []
    if result.hiding:
        warnings.append(
            "ITK cannot take the headers as they stand; what it cannot take was hidden from it"
            + (" and restored." if report else " and is lost.")
        )
    warnings += sorted(
        {
            f"Compressed pixels were kept and {finding.message}."
            for finding in result.tally.findings.values()
            if finding.check == "PIX-02" and finding.message.startswith("not decoded")
        }
    )
    top_level = {(change.tag, change.outcome) for change in report.changes} if report else set()
    signatures = (tags.DIGITAL_SIGNATURES_SEQUENCE, tags.MAC_PARAMETERS_SEQUENCE)
    if identity == "copy" and any((tag_text(tag), "kept") in top_level for tag in signatures):
        warnings.append("A digital signature was kept; it may not hold for the re-encoded file.")
    encrypted = tags.ENCRYPTED_ATTRIBUTES_SEQUENCE
    if (tag_text(encrypted), "removed by rule") in top_level or encrypted in result.removed:
        warnings.append("Encrypted attributes were removed: they decrypt to the identity of the source.")
    return warnings
