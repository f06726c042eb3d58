"""The stage of a scenario: the URL of its HTTP API."""

import pytest

from conformance.rabbitmq import server
from conformance.stage import Target


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("", ""),
        ("http://127.0.0.1:15672", "http://127.0.0.1:15672"),
        (server("4.3").http_url, "http://127.0.0.1:15643"),
    ],
)
def test_the_http_api_is_called_where_a_url_says_with_or_without_a_user(url: str, api: str) -> None:
    assert Target("amqp://guest:guest@127.0.0.1/", url).api == api
