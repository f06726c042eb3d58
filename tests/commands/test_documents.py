"""JSON documents in arguments of commands."""

from __future__ import annotations

import pytest

from leveret.control.call import document
from leveret.rendering.answers import Failure


@pytest.mark.parametrize("text", ["1e400", '{"a":-1e400}', "NaN", "[Infinity]", "-Infinity", "{", "9" * 5000])
def test_what_is_no_json_in_erlang_is_refused(text: str) -> None:
    with pytest.raises(Failure) as refused:
        document(text)
    assert "failed_to_decode_json" in refused.value.text


def test_numbers_are_read() -> None:
    assert document('{"a":[1e3,-0.5,12]}') == {"a": [1000.0, -0.5, 12]}
