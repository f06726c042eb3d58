"""`leveret config check` reports every problem at once, and starts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.cli.names import OTHERS, TOOLS
from leveret.cli.serve import main


def test_a_valid_configuration_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "rabbitmq.conf"
    conf.write_text("heartbeat = 30\ntcp_listen_options.nodelay = true\n", "utf-8")
    monkeypatch.setenv("RABBITMQ_CONFIG_FILE", str(conf))
    assert main(["config", "check"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out.splitlines() == [
        f"warning: {conf}:2: tcp_listen_options.nodelay has no effect: "
        "sockets use the operating system's defaults and TCP_NODELAY",
        f"files read: {conf}",
        "The configuration is valid.",
    ]


def test_problems_of_all_sources_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf, toml = tmp_path / "rabbitmq.conf", tmp_path / "config.toml"
    conf.write_text("heartbeat = x\nheartbeet = 3\n", "utf-8")
    toml.write_text("[server]\nhttp_port = 99999\n", "utf-8")
    monkeypatch.setenv("RABBITMQ_CONFIG_FILE", str(conf))
    monkeypatch.setenv("LEVERET_STORE", "tape")
    assert main(["config", "check", "--config", str(toml), "--port", "70000"]) == 78
    output = capsys.readouterr()
    assert output.out == ""
    assert [line.split(": ")[1:3] for line in output.err.splitlines()] == [
        [f"{conf}:1", "heartbeat"],
        [f"{conf}:2", "heartbeet"],
        [str(toml), "server.http_port"],
        ["environment", "LEVERET_STORE"],
        ["command line", "server.port"],
    ]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ('backends = ["ldap"]', "auth backend ldap: users, groups and queries of LDAP are not available."),
        (
            'backends = ["oauth2"]\n[auth_oauth2]\nresource_server_id = "r"\n'
            'signing_keys = { a = "/nonexistent.pem" }',
            "auth_oauth2: /nonexistent.pem: [Errno 2] No such file or directory",
        ),
        ('backends = ["oauth2"]\n[auth_oauth2]\nresource_server_id = "r"\njwks_uri = "https://a/b"', ""),
    ],
)
def test_backends_must_have_their_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: str, error: str
) -> None:
    toml = tmp_path / "config.toml"
    toml.write_text(f"[access]\n{settings}\n", "utf-8")
    assert main(["config", "check", "--config", str(toml)]) == (78 if error else 0)
    assert error in capsys.readouterr().err


def test_definitions_must_be_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml, definitions = tmp_path / "config.toml", tmp_path / "definitions.json"
    toml.write_text(f"[server]\nload_definitions = '{definitions}'\n", "utf-8")
    assert main(["config", "check", "--config", str(toml)]) == 78
    assert "cannot be read: No such file or directory" in capsys.readouterr().err
    definitions.write_text("{", "utf-8")
    assert main(["config", "check", "--config", str(toml)]) == 78
    assert f"definitions: {definitions}: is not JSON" in capsys.readouterr().err
    definitions.write_text('\ufeff{"users": []}', "utf-8")
    assert main(["config", "check", "--config", str(toml)]) == 0


def test_the_profile_must_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--profile", "9"]) == 78
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("leveret: profile '9' is not known; allowed: 3.10, ")


@pytest.mark.parametrize(
    ("name", "written", "reason"),
    [
        ("config.toml", b"\xff\xfe", "is not TOML: 'utf-8' codec can't decode byte 0xff in position 0"),
        ("rabbitmq.conf", b"log.dir = /var", "(RABBITMQ_CONFIG_FILE names a rabbitmq.conf)"),
    ],
)
def test_what_is_no_toml_is_refused(
    name: str, written: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(written)
    assert main(["config", "check", "--config", str(tmp_path / name)]) == 78
    assert reason in capsys.readouterr().err


def test_the_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")}
    assert {"serve", "config", "top", *TOOLS, *OTHERS} <= listed


def test_options_before_another_command_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--port", "5673", "ctl", "status"])
    assert ended.value.code == 64
    assert "the options of `ctl` come after it" in capsys.readouterr().err


def test_files_of_tls_must_be_usable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = tmp_path / "config.toml"
    toml.write_text("[tls]\nport = 5671\ncertfile = '/none.pem'\n[management_tls]\nport = 15671\n", "utf-8")
    assert main(["config", "check", "--config", str(toml), "--profile", "9"]) == 78
    problems = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in problems[1:]] == ["tls.certfile", "management_tls.certfile"]
    assert "profile '9'" in problems[0]
