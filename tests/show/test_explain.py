"""What `explain` says of every check and every rule, out of the same tables that `verify` and `run` follow."""

from __future__ import annotations

import pytest
from rich.console import Console
from typer.testing import CliRunner

from itk_roundtrip import new_grids
from itk_roundtrip.cli import app
from itk_roundtrip.rules import CONDITIONAL, RULES, VERBS
from itk_roundtrip.show.explain import explain_document, explain_table
from itk_roundtrip.verify.checks import CHECKS


def told(asked: str) -> str:
    console = Console(record=True, width=1000)
    console.print(explain_table(asked))
    return console.export_text()


@pytest.mark.parametrize("check_id", CHECKS)
def test_a_check(check_id: str) -> None:
    check, text = CHECKS[check_id], told(check_id.lower())
    assert all(part in text for part in (check.id, check.asks, check.reason, check.section, check.severity))


@pytest.mark.parametrize("rule", [*RULES, *CONDITIONAL], ids=lambda rule: f"{rule.keyword} {rule.action}")
def test_a_rule(rule) -> None:  # type: ignore[no-untyped-def]
    document = explain_document(rule.keyword)
    said = {(row["is"], row["how"], row["see"]) for row in document["rules"]}
    assert (VERBS[rule.action], rule.detail if rule.action != "keep" else "", rule.reason) in said
    if rule.processed != "keep":
        assert (VERBS[rule.processed], rule.processed_detail, rule.reason) in said
    assert explain_document(document["tag"]) == document
    assert document["check"]["id"] in {other.check for other in (*RULES, *CONDITIONAL) if other.tag == rule.tag}
    assert rule.reason in told(rule.keyword)


def test_a_rule_of_another_grid() -> None:
    for rule in new_grids.GRID_RULES:
        assert any(
            row["when"] == "other grid" and rule.detail in row["how"] for row in explain_document(rule.keyword)["rules"]
        )


def test_an_attribute_without_a_rule_is_kept() -> None:
    document = explain_document("KVP")
    assert document["rules"][0] == {"when": "derived", "is": "kept", "how": "", "see": ""}
    assert (document["check"]["id"], document["set"]) == ("HDR-01", "")


def test_what_may_not_be_set_is_said_with_its_reason() -> None:
    assert explain_document("Rows")["set"] == "it describes the pixels, which an image changes."
    assert "no: it describes the pixels" in told("0028,0010")
    assert "may set it" in told("SeriesDescription")


def test_a_private_scale() -> None:
    assert "Scale Slope of Philips MR Imaging DD 001" in told("2005,100e")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("PIX-44", "There is no check PIX-44; did you mean PIX-04?"),
        ("Imagetype", "did you mean ImageType?"),
        ("qwertz", "is no keyword of an attribute"),
        ("", "is no keyword of an attribute"),
        ("\x1b[31m", "A key|is no keyword"),
    ],
)
def test_what_is_unknown_is_refused(asked: str, message: str) -> None:
    result = CliRunner().invoke(app, ["explain", asked])
    assert (result.exit_code, result.stdout) == (2, "")
    assert any(part in result.stderr for part in message.split("|"))
    assert "\x1b" not in result.stderr


def test_all_checks_are_listed() -> None:
    lines = CliRunner().invoke(app, ["explain"]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(CHECKS)
