"""Table of what became of every attribute of a written file (REP-01)."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace

from itk_roundtrip import tags
from itk_roundtrip.dicom.privacy import may_show
from itk_roundtrip.rules import Rule
from itk_roundtrip.tags import tag_text
from itk_roundtrip.verify.attributes import Difference
from itk_roundtrip.verify.checks.functional_groups import is_set_by_rule
from itk_roundtrip.verify.checks.headers import is_allowed, is_of_new_grid
from itk_roundtrip.verify.findings import Change, Outcome
from itk_roundtrip.verify.pair import Pair, is_declared
from itk_roundtrip.verify.registry import check
from itk_roundtrip.verify.scales import is_stale_scale
from itk_roundtrip.verify.tally import Key, key_of


@check(
    "REP-01",
    "the table of what became of every attribute",
    reason="whoever relies on an attribute must be able to look up what became of it, kept or not",
    severity="info",
)
def changes(pair: Pair, *, show_values: bool, already_shown: Container[Key]) -> Iterator[Change]:
    """Yield the outcome for each attribute that differs, with its values where they may be shown.

    Parameters
    ----------
    pair
        Files.
    show_values
        Show values that may identify a person, too.
    already_shown
        Keys of changes whose values another slice has shown, so that they need not be decoded.
    """
    for difference in pair.comparison.differences:
        rule = pair.rule(difference.tag)
        outcome = _outcome(difference, rule, pair)
        action = "set" if outcome == "set by rule" and rule.action == "keep" else rule.action
        change = Change(outcome, tag_text(difference.tag), difference.path, action, rule.check, 1, pair.name)
        if key_of(change) in already_shown:
            yield change
        elif show_values or may_show(difference.tag, difference.leaf, difference.vr):
            yield replace(change, old=difference.old, new=difference.new)
        else:
            yield replace(change, hidden=True)


def _outcome(difference: Difference, rule: Rule, pair: Pair) -> Outcome:
    """Return the outcome of a difference, where the rule table asks for it ``set by rule`` or ``removed by rule``."""
    if is_declared(difference.tag, pair.allowed):
        return "declared"
    by_processing = pair.processed and (rule.processed == "remove" or is_stale_scale(pair, difference))
    if difference.outcome == "lost" and (rule.action == "remove" or by_processing):
        return "removed by rule"
    if is_of_new_grid(pair, difference):
        return "removed by rule" if difference.outcome == "lost" else "set by rule"
    if is_set_by_rule(pair, difference) or _is_of_decoding(pair, difference):
        return "set by rule"
    if rule.action in ("new", "set", "append") or (rule.processed != "keep" and pair.processed):
        return "set by rule"
    return difference.outcome


def _is_of_decoding(pair: Pair, difference: Difference) -> bool:
    """Tell whether a difference follows from decoding: Lossy Image Compression, or the colours of decoded pixels."""
    if difference.tag in (tags.PHOTOMETRIC_INTERPRETATION, tags.PLANAR_CONFIGURATION):
        return difference.outcome in ("added", "changed") and is_allowed(pair, difference)
    lossy = difference.tag in (
        tags.LOSSY_IMAGE_COMPRESSION,
        tags.LOSSY_IMAGE_COMPRESSION_RATIO,
        tags.LOSSY_IMAGE_COMPRESSION_METHOD,
    )
    return lossy and difference.outcome in ("added", "changed") and pair.derived and pair.source_pixels.is_lossy
