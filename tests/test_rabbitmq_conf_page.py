"""The keys of the page's login in rabbitmq.conf (management.oauth_*), as in RabbitMQ 4.3.6."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.auth_settings import PageLogin, PageResource
from leveret.rabbitmq_conf import read
from leveret.settings import ConfigError, build, to_toml


def login(path: Path, text: str) -> PageLogin:
    (path / "rabbitmq.conf").write_text(text, "utf-8")
    settings = build(read([path / "rabbitmq.conf"], {}))
    assert settings.warnings == ()
    return settings.management_oauth


def test_all_keys(tmp_path: Path) -> None:
    found = login(
        tmp_path,
        """
        management.oauth_enabled = true
        management.oauth_disable_basic_auth = false
        management.oauth_provider_url = https://id.example.com
        management.oauth_metadata_url = https://id.example.com/meta
        management.oauth_client_id = page
        management.oauth_response_type = code
        management.oauth_scopes = openid mq
        management.oauth_initiated_logon_type = idp_initiated
        management.oauth_authorization_endpoint_params.audience = mq
        management.oauth_token_endpoint_params.a = b
        auth_oauth2.end_session_endpoint = https://id.example.com/logout
        management.oauth_resource_servers.1.id = mq
        management.oauth_resource_servers.1.label = Staff
        management.oauth_resource_servers.1.oauth_client_id = staff
        management.oauth_resource_servers.1.oauth_authorization_endpoint_params.x = y
        management.oauth_resource_servers.2.disabled = true
        management.oauth_resource_servers.2.oauth_initiated_logon_type = sp_initiated
        """,
    )
    assert found == PageLogin(
        enabled=True,
        disable_basic_auth=False,
        provider_url="https://id.example.com",
        metadata_url="https://id.example.com/meta",
        client_id="page",
        scopes="openid mq",
        initiated_logon_type="idp_initiated",
        authorization_endpoint_params={"audience": "mq"},
        token_endpoint_params={"a": "b"},
        end_session_endpoint="https://id.example.com/logout",
        resource_servers={
            "1": PageResource(
                id="mq", label="Staff", client_id="staff", authorization_endpoint_params={"x": "y"}
            ),
            "2": PageResource(disabled=True, initiated_logon_type="sp_initiated"),
        },
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("management.oauth_client_secret = s", "keeps no secret"),
        ("management.oauth_resource_servers.a.oauth_client_secret = s", "keeps no secret"),
        ("management.oauth_response_type = token", "only the authorization code flow"),
        ("management.oauth_initiated_logon_type = x", "acceptable values are"),
    ],
)
def test_what_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        login(tmp_path, line)


def test_resource_servers_are_shown_as_toml(tmp_path: Path) -> None:
    (tmp_path / "rabbitmq.conf").write_text("management.oauth_resource_servers.mq.label = Staff\n", "utf-8")
    settings = build(read([tmp_path / "rabbitmq.conf"], {}))
    assert 'resource_servers = { "mq" = { "label" = "Staff" } }' in to_toml(settings)
