"""Configuration in Erlang terms means what the same keys of rabbitmq.conf mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.auth_settings import OAuth2, OAuthProvider, ResourceServer
from leveret.erlang_config import arguments, read
from leveret.rabbitmq_conf import read as read_conf
from leveret.settings import ConfigError, Settings, build


def settings(path: Path, text: str, conf: str = "") -> Settings:
    advanced, main = path / "advanced.config", path / "rabbitmq.conf"
    advanced.write_text(text, "utf-8")
    main.write_text(conf, "utf-8")
    return build(read_conf([main], {}, advanced=[advanced]))


def test_variables_have_the_meaning_of_their_keys(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        """
        [{rabbit, [
            {tcp_listeners, [{"127.0.0.1", 5673}, 5674]},
            {loopback_users, []},
            {default_user, <<"u">>}, {default_pass, <<"p">>}, {default_vhost, <<"v">>},
            {default_user_tags, [administrator, monitoring]},
            {default_permissions, [<<"^c">>, <<"^w">>, <<"^r">>]},
            {heartbeat, 5}, {channel_max, 7}, {consumer_timeout, undefined},
            {vm_memory_high_watermark, 0.5}, {disk_free_limit, {mem_relative, 1.5}},
            {permit_deprecated_features, #{global_qos => true}},
            {auth_backends, [rabbit_auth_backend_internal]},
            {auth_mechanisms, ['PLAIN', 'AMQPLAIN']},
            {default_queue_type, rabbit_quorum_queue}
         ]},
         {rabbitmq_management, [{listener, [{port, 15673}, {ip, "127.0.0.1"}]}, {rates_mode, detailed}]},
         {rabbitmq_prometheus, [{tcp_config, [{port, 15693}]}, {path, "/m"}]}
        ].
        """,
    )
    assert found.server.addresses() == [("127.0.0.1", 5673), ("::", 5674)]
    assert (found.server.http_port, found.server.http_host) == (15673, ("127.0.0.1",))
    assert (found.server.rates_mode, found.server.prometheus_port) == ("detailed", 15693)
    assert found.server.prometheus_path == "/m"
    access = found.access
    assert (access.default_user, access.default_pass, access.default_vhost) == ("u", "p", "v")
    assert (access.loopback_users, access.default_user_tags) == ((), ("administrator", "monitoring"))
    assert access.default_permissions == ("^c", "^w", "^r")
    assert access.mechanisms == ("PLAIN", "AMQPLAIN")
    assert (found.amqp.heartbeat, found.amqp.channel_max, found.amqp.consumer_timeout) == (5, 7, 0)
    assert found.amqp.default_queue_type == "quorum"
    assert (found.memory.high_watermark, found.store.disk_free_limit) == (0.5, 1.5)
    assert found.deprecated_features.permit == {"global_qos": True}
    assert found.warnings == ()


def test_terms_override_rabbitmq_conf(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "[{rabbit, [{tcp_listeners, [1]}, {disk_free_limit, 5}]}].",
        "listeners.tcp.a = 2\nlisteners.tcp.b = 3\ndisk_free_limit.relative = 1.0\nheartbeat = 4",
    )
    assert found.server.addresses() == [("::", 1)]
    assert (found.store.disk_free_limit, found.amqp.heartbeat) == (5, 4)


def test_what_has_no_effect_is_a_warning(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "[{kernel, [{x, 1}]}, {rabbit, [{heartbeat, many}, {cluster_nodes, {[a], disc}}]}].",
    )
    place = tmp_path / "advanced.config"
    assert found.warnings == tuple(
        f"{place}: {name} has no effect here"
        for name in ("kernel.x", "rabbit.heartbeat", "rabbit.cluster_nodes")
    )


def test_oauth2_with_the_maps_of_its_pages(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"
    found = settings(
        tmp_path,
        """
        [{rabbitmq_auth_backend_oauth2, [
            {resource_server_id, <<"rabbitmq">>},
            {extra_scopes_source, <<"roles">>},
            {verify_aud, false},
            {preferred_username_claims, [<<"email">>, <<"sub">>]},
            {scope_aliases, #{<<"api://admin">> => [<<"rabbitmq.tag:administrator">>, <<"rabbitmq.read:*/*">>],
                              <<"reader">> => <<"rabbitmq.read:*/*">>}},
            {issuer, "http://issuer"},
            {discovery_endpoint_params, [{<<"appid">>, <<"1">>}]},
            {key_config, [
                {default_key, <<"k">>},
                {algorithms, [<<"RS256">>]},
                {verify, verify_none},
                {depth, 10},
                {unknown, 1},
                {signing_keys, #{<<"k">> => {pem, <<"PEM">>}, <<"f">> => {pem_file, "FOLDER/a.pem"},
                                 <<"m">> => {map, #{<<"kty">> => <<"oct">>}}, <<"j">> => {json, <<"{}">>}}}
            ]},
            {oauth_providers, #{<<"uaa">> => [
                {jwks_uri, <<"http://uaa/keys">>}, {default_key, <<"u">>},
                {https, [{peer_verification, verify_none}, {fail_if_no_peer_cert, false}]},
                {signing_keys, #{<<"u">> => {pem, <<"PEM">>}}}
            ]}},
            {resource_servers, #{<<"dev">> => [
                {scope_prefix, <<"dev:">>}, {verify_aud, false}, {require_exp, false},
                {oauth_provider_id, <<"uaa">>}, {extra_scopes_source, <<"x">>}, {nonsense, 1}
            ], <<"prod">> => [{id, <<"rabbit_prod">>}]}}
        ]}].
        """.replace("PEM", pem).replace("FOLDER", str(tmp_path)),
    )
    assert found.auth_oauth2 == OAuth2(
        resource_server_id="rabbitmq",
        additional_scopes_key="roles",
        verify_aud=False,
        preferred_username_claims=("email", "sub"),
        scope_aliases={
            "api://admin": "rabbitmq.tag:administrator rabbitmq.read:*/*",
            "reader": "rabbitmq.read:*/*",
        },
        issuer="http://issuer",
        discovery_endpoint_params={"appid": "1"},
        default_key="k",
        algorithms=("RS256",),
        verify="verify_none",
        signing_keys={"k": pem, "f": f"{tmp_path}/a.pem", "m": '{"kty": "oct"}', "j": "{}"},
        oauth_providers={
            "uaa": OAuthProvider(
                jwks_uri="http://uaa/keys", default_key="u", verify="verify_none", signing_keys={"u": pem}
            )
        },
        resource_servers={
            "dev": ResourceServer(
                id="dev",
                scope_prefix="dev:",
                verify_aud=False,
                require_exp=False,
                oauth_provider="uaa",
                additional_scopes_key="x",
            ),
            "prod": ResourceServer(id="rabbit_prod"),
        },
    )
    place = tmp_path / "advanced.config"
    assert {warning for warning in found.warnings if "has no effect here" in warning} == {
        f"{place}: rabbitmq_auth_backend_oauth2.key_config.unknown has no effect here",
        f"{place}: rabbitmq_auth_backend_oauth2.resource_servers.nonsense has no effect here",
    }


@pytest.mark.parametrize("word", ["false", "undefined", "infinity"])
def test_words_for_no_consumer_timeout(tmp_path: Path, word: str) -> None:
    assert settings(tmp_path, f"[{{rabbit, [{{consumer_timeout, {word}}}]}}].").amqp.consumer_timeout == 0


@pytest.mark.parametrize("text", ["[].", "[{rabbit, []}].", "\ufeff[]."])
def test_files_without_variables_are_accepted(tmp_path: Path, text: str) -> None:
    assert settings(tmp_path, text).warnings == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "advanced.config:1: is not an Erlang term: syntax error in line 1 before: ''"),
        ("% nothing", "advanced.config:1: is not an Erlang term: syntax error in line 1 before: ''"),
        ("[{rabbit, [}].", "advanced.config:1: is not an Erlang term: syntax error in line 1 before: '}'"),
        ("[{rabbit, []}]", "advanced.config:1: is not an Erlang term: syntax error in line 1 before: ''"),
        ("rabbit.", "is not a list of applications"),
        ("[rabbit].", "not an application: 'rabbit'"),
        ("[{rabbit, [1]}].", "not a variable: 1"),
        ('["/etc/other.config"].', "other files cannot be included"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(tmp_path, text)
    assert says in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("-rabbit heartbeat 5", {"heartbeat": "5"}),
        (
            "-rabbit log_levels [{connection,error},{default,error}] disk_free_limit 2147483648",
            {"disk_free_limit.absolute": "2147483648"},
        ),
        ('-rabbitmq_management path_prefix "/rabbit"', {"management.path_prefix": "/rabbit"}),
        ('-rabbitmq_management path_prefix \\"/rabbit\\"', {"management.path_prefix": "/rabbit"}),
        ("-rabbitmq_management path_prefix '\"/rabbit\"'", {"management.path_prefix": "/rabbit"}),
        (
            '-rabbit tcp_listeners [{"127.0.0.1", 1}] -rabbit heartbeat 5',
            {"listeners.tcp.1": "127.0.0.1:1", "heartbeat": "5"},
        ),
        (
            "-rabbit log [{console,[{enabled,true},{level,debug}]}]",
            {"log.console": "true", "log.console.level": "debug"},
        ),
        ("+P 1048576 -kernel x 1", {}),
        ("-rabbit heartbeat", {}),
    ],
)
def test_arguments_of_erlang_are_read(text: str, lines: dict[str, str]) -> None:
    found = arguments(text, "x")
    assert {key: line.text for key, line in found.lines.items()} == lines


def test_lists_inside_of_lists_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    found = settings(
        tmp_path,
        """
        [{rabbit, [
            {ssl_options, [{certfile, "FOLDER/a.pem"}, {versions, ['tlsv1.2', 'tlsv1.3']}, {verify, verify_peer},
                           {ciphers, ["ECDHE-RSA-AES256-GCM-SHA384"]}, {fail_if_no_peer_cert, true}]},
            {tcp_listen_options, [{backlog, 4096}, {linger, {true, 3}}, {keepalive, true}]},
            {auth_backends, [rabbit_auth_backend_cache]}
         ]},
         {rabbitmq_auth_backend_cache, [{cached_backend, {rabbit_auth_backend_http, rabbit_auth_backend_internal}}]},
         {rabbitmq_management, [{cors_allow_origins, ["https://a", "https://b"]}]}
        ].
        """.replace("FOLDER", str(tmp_path)),
    )
    assert (found.tls.verify, found.tls.fail_if_no_peer_cert) == ("verify_peer", True)
    assert (found.tls.versions, found.tls.ciphers) == (
        ("tlsv1.2", "tlsv1.3"),
        ("ECDHE-RSA-AES256-GCM-SHA384",),
    )
    assert (found.server.backlog, found.server.linger, found.server.keepalive) == (4096, 3, True)
    assert found.auth_cache.backend == "http/internal"
    assert found.management.cors_allow_origins == ("https://a", "https://b")
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ('{default_pass, {encrypted, <<"x">>}}', "default_pass: encrypted values are not supported"),
        (
            '{load_definitions, "/nosuch.json"}',
            "load_definitions: load_definitions invalid, file does not exist",
        ),
        ("{loopback_users, guest}", "rabbit.loopback_users: the value is not understood"),
        ("{ssl_options, [{verify, verify_maybe}]}", "ssl_options.verify: "),
        ("{auth_backends, internal}", "rabbit.auth_backends: the value is not understood"),
    ],
)
def test_what_is_not_understood_is_refused_if_it_matters(tmp_path: Path, variable: str, says: str) -> None:
    """RabbitMQ fails with it when it starts, or when a client comes."""
    with pytest.raises(ConfigError) as refused:
        settings(tmp_path, f"[{{rabbit, [{variable}]}}].")
    assert says in str(refused.value)
