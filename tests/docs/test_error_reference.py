"""The error reference has advice for every error in the code, and for nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from leveret.errors.kinds import CODES

DOCS = Path(__file__).resolve().parents[2] / "docs"
sys.path.insert(0, str(DOCS))

import error_reference  # noqa: E402  beside the pages


@pytest.fixture(scope="module")
def advice() -> dict[str, dict[str, str]]:
    return error_reference.advice()


def test_every_reply_text_has_advice(advice: dict[str, dict[str, str]]) -> None:
    texts = error_reference.reply_texts()
    assert {one.name for one in texts} == advice["amqp"].keys()
    assert {str(one.code) for one in texts} == advice["codes"].keys() <= {str(code) for code in CODES}


def test_every_reason_of_the_api_has_advice(advice: dict[str, dict[str, str]]) -> None:
    assert error_reference.http_reasons().keys() == advice["http"].keys()


def test_every_refusal_of_a_data_directory_has_a_cause(advice: dict[str, dict[str, str]]) -> None:
    assert error_reference.store_refusals().keys() == advice["store"].keys()


def test_the_page_has_texts_with_placeholders() -> None:
    page = error_reference.page()
    assert "| `NOT_FOUND - no queue 'NAME' in vhost 'VHOST'` | No such queue. |" in page
    assert "| 401 | `Not administrator user` |" in page
    assert "FILE is missing. Nothing was changed." in page


def test_links_lead_to_pages() -> None:
    targets = {target.partition("#")[0] for target in error_reference.links(error_reference.page())}
    assert targets
    for target in targets:
        assert (DOCS / "reference" / target).resolve().exists(), target
