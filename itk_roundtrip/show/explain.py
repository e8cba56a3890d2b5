"""What a check asks, or what becomes of an attribute, and why: of the registry of checks and the rule tables."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from itk_roundtrip import new_grids
from itk_roundtrip.derivation.caller import check_owner, tag_of
from itk_roundtrip.errors import RoundtripError
from itk_roundtrip.rules import CONDITIONAL, PRIVATE_SCALES, RULES, VERBS, Rule, rule_for
from itk_roundtrip.tags import tag_text
from itk_roundtrip.verify.checks import CHECKS


def explain_document(asked: str) -> dict[str, Any]:
    """Return the JSON document of a check, by its id, or of an attribute, by its keyword or tag.

    Raises
    ------
    RoundtripError
        There is no such check or attribute.
    """
    if asked.upper() in CHECKS:
        return {"schema": 1, "check": _check(asked.upper())}
    if re.fullmatch(r"[A-Za-z]{3}-?\d{1,2}", asked):
        near = difflib.get_close_matches(asked.upper(), CHECKS, 1)
        raise RoundtripError(f"There is no check {asked}{f'; did you mean {near[0]}?' if near else '.'}")
    tag = tag_of(asked)
    keyword, known = keyword_for_tag(tag) or "", dictionary_has_tag(tag)
    return {
        "schema": 1,
        "attribute": keyword,
        "tag": tag_text(tag),
        "vr": dictionary_VR(tag) if known else "",
        "rules": [dict(zip(("when", "is", "how", "see"), row, strict=True)) for row in _rules(tag)],
        "set": _why_not_set(tag, keyword),
        "check": _check(_rule_of(tag).check),
    }


def explain_table(asked: str) -> RenderableType:
    """Return the table of a check or of an attribute, as :func:`explain_document` knows them."""
    document = explain_document(asked)
    check = document["check"]
    table = Table.grid(padding=(0, 2))
    if "attribute" in document:
        vr = f", VR {document['vr']}" if document["vr"] else ""
        table.add_row("attribute", Text(f"{document['attribute']} {document['tag']}{vr}".strip(), style="bold"))
        for rule in document["rules"]:
            table.add_row(rule["when"], Text(f"{rule['is']}{': ' if rule['how'] else ''}{rule['how']}"))
            if rule["see"]:
                table.add_row("", Text(rule["see"], style="dim"))
        table.add_row("--set", Text(f"no: {document['set']}" if document["set"] else "may set it"))
        table.add_row("check", Text(f"{check['id']}: {check['asks']}"))
        return table
    table.add_row("check", Text(f"{check['id']}: {check['asks']}", style="bold"))
    table.add_row("why", Text(check["reason"]))
    table.add_row("standard", Text(check["section"] or "nothing in it asks for this"))
    table.add_row("severity", Text(f"{check['severity']}, where a finding does not say otherwise"))
    if check["attributes"]:
        table.add_row("attributes", Text(", ".join(check["attributes"])))
    return table


def checks_table() -> RenderableType:
    """Return the table of all checks: their ids, and what they ask."""
    table = Table.grid(padding=(0, 2))
    for check in CHECKS.values():
        table.add_row(check.id, Text(check.asks))
    return table


def _check(check_id: str) -> dict[str, Any]:
    """Return a check, and the attributes whose rules are judged by it."""
    check = CHECKS[check_id]
    keywords = dict.fromkeys(rule.keyword for rule in (*RULES, *CONDITIONAL) if rule.check == check_id)
    return {
        "id": check.id,
        "asks": check.asks,
        "reason": check.reason,
        "section": check.section,
        "severity": check.severity,
        "attributes": list(keywords),
    }


def _rule_of(tag: int) -> Rule:
    """Return the rule of an attribute; one that holds for some images only where there is no other."""
    rule = rule_for(tag, identity="derived", primary=False)
    return rule if rule.keyword else next((some for some in CONDITIONAL if some.tag == tag), rule)


def _rules(tag: int) -> Iterator[tuple[str, str, str, str]]:
    """Yield what becomes of an attribute: when, what is done, how, and the section or the reason."""
    rule = rule_for(tag, identity="derived", primary=False)
    yield "derived", VERBS[rule.action], rule.detail if rule.action != "keep" else "", rule.reason
    for conditional in CONDITIONAL:
        if conditional.tag == tag:
            yield "some images", VERBS[conditional.action], conditional.detail, conditional.reason
    if rule.processed != "keep":
        yield "processed", VERBS[rule.processed], rule.processed_detail, rule.reason
    for scale in PRIVATE_SCALES:
        if (scale.group, scale.element) == (tag >> 16, tag & 0xFF):
            changed = "slope" if scale.scales == "stored" else "units"
            yield "processed", "removed", f"{scale.name} of {scale.creator}, where the {changed} changed", ""
    if grid := new_grids.BY_TAG.get(tag):
        yield "other grid", new_grids.VERBS[grid.action], f"{new_grids.WHEN[grid.when]}{grid.detail}", grid.reason
    yield "copy", "kept", "", ""


def _why_not_set(tag: int, keyword: str) -> str:
    """Return why the caller cannot set an attribute; empty if that is possible."""
    try:
        check_owner(Dataset(), tag, keyword or tag_text(tag))
    except RoundtripError as error:
        return str(error).partition(": ")[2]
    return ""
