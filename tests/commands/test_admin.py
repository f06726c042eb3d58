"""`rabbitmqadmin`: both versions of its syntax, on the HTTP API of a node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from leveret.admin.definitions import transformed
from leveret.admin.main import main, parsed
from leveret.admin.tables import STYLES, drawn, plain
from tests.commands.conftest import Start

Admin = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def admin(start: Start) -> Admin:
    """Run a command line: `await admin("list", "queues")` -> exit code, standard output, standard error."""
    node = await start(http_port=0)
    port = next(listener.port for listener in node.listeners() if listener.protocol == "http")

    def run(words: tuple[str, ...]) -> tuple[int, str, str]:
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["-P", str(port), *words])
        return code, out.getvalue(), err.getvalue()

    async def played(*words: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(run, words)

    return played


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("list queues", False),
        ("list queues name messages", True),
        ("-f raw_json list queues", True),
        ("--vhost=v list queues", False),
        ("-u guest -p guest list queues", False),
        ("declare queue --name q", False),
        ("declare queue name=q", True),
        ("declare queue --name=q", False),
        ("--vhost=v declare exchange name=x type=topic arguments={}", True),
        ("declare policy --vhost=v name=p pattern=a=b definition={}", True),
        ("publish routing_key=q payload=x", True),
        ("publish message -k q -m a=b", False),
        ("publish message --routing-key q --payload a=b", False),
        ("get queue=q", True),
        ("get messages --queue q", False),
        ("export file", True),
        ("export --file f", False),
        ("definitions export --file f", False),
        ("import file", True),
        ("show overview", False),
        ("queues list", False),
        ("health_check local_alarms", False),
        ("close connection name=c", True),
        ("purge queue name=q", True),
    ],
)
def test_the_arguments_say_which_version_is_meant(line: str, first: bool) -> None:
    assert parsed(line.split()).first is first


async def test_the_lines_of_testcontainers(admin: Admin) -> None:
    for line in (
        "declare vhost name=v tracing=true",
        "declare vhost_limit vhost=v name=max-queues value=10",
        "declare user name=u password=p tags=administrator",
        "declare permission vhost=v user=guest configure=.* write=.* read=.*",
        "--vhost=v declare exchange name=x type=topic auto_delete=false internal=false durable=true arguments={}",
        '--vhost=v declare queue name=q auto_delete=false durable=true arguments={"x-max-length":5}',
        "--vhost=v declare binding source=x destination=q routing_key=a.# destination_type=queue arguments={}",
        'declare policy --vhost=v name=p pattern=^q definition={"max-length":3} priority=1 apply-to=queues',
        'declare operator_policy --vhost=v name=o pattern=^q definition={"max-length":4}',
    ):
        code, out, _ = await admin(*line.split())
        assert (code, out.endswith(" declared\n")) == (0, True), line
    assert await admin("--vhost=v", "list", "queues", "name") == (
        0,
        "+------+\n| name |\n+------+\n| q    |\n+------+\n",
        "",
    )
    assert (await admin("list", "vhosts", "name", "messages"))[0] == 0


async def test_messages_go_in_and_out(admin: Admin) -> None:
    assert (await admin("declare", "queue", "--name", "q"))[0] == 0
    assert (await admin("publish", "message", "-k", "q", "-m", "one"))[
        1
    ] == "Message published and routed successfully\n"
    assert (await admin("publish", "routing_key=q", "payload=two"))[1] == "Message published\n"
    assert (await admin("publish", "routing_key=none", "payload=two"))[
        1
    ] == "Message published but NOT routed\n"
    _, out, _ = await admin("-f", "raw_json", "get", "queue=q", "count=2", "ackmode=ack_requeue_true")
    assert [each["payload"] for each in json.loads(out)] == ["one", "two"]
    assert "one" in (await admin("get", "messages", "-q", "q", "-a", "ack_requeue_false"))[1]
    assert (await admin("purge", "queue", "--name", "q"))[0] == 0
    assert (await admin("--non-interactive", "list", "queues"))[1].split()[:3] == ["q", "/", "classic"]


async def test_definitions_go_out_and_in(admin: Admin, tmp_path: Path) -> None:
    first, second = str(tmp_path / "1"), str(tmp_path / "2")
    assert (await admin("export", first))[1] == f'Exported definitions for localhost to "{first}"\n'
    assert (await admin("definitions", "export", "--file", second))[0] == 0
    assert json.loads(Path(first).read_text()) == json.loads(Path(second).read_text())  # noqa: ASYNC240
    assert (await admin("import", first))[0] == 0
    assert (await admin("definitions", "import", "--file", second))[0] == 0


async def test_errors(admin: Admin) -> None:
    assert await admin("delete", "queue", "--name", "n") == (65, "", "API responded with a 404 Not Found\n")
    assert (await admin("delete", "queue", "--name", "n", "--idempotently"))[0] == 0
    assert await admin("delete", "queue", "name=n") == (1, "", "*** Not found: /api/queues/%2F/n\n\n")
    assert (await admin("-u", "nobody", "list", "users"))[2] == "Not_Authorized\n"
    assert (await admin("declare", "queue"))[0] == 2
    assert (await admin("declare", "nonsense"))[2].startswith("error: unrecognized subcommand 'nonsense'")
    assert (await admin("list", "queues", "--columns", "x"))[2].startswith(
        "error: unexpected argument '--columns'"
    )
    code, out, _ = await admin("health_check", "port_listener", "--port", "1")
    assert (code, "No active listener" in out) == (69, True)
    assert (await admin("declare", "queue", "--name", "q", "--arguments", "x"))[0] == 65


async def test_the_environment_and_a_file(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQADMIN_USERNAME", "nobody")
    assert (await admin("list", "users"))[0] == 65
    monkeypatch.delenv("RABBITMQADMIN_USERNAME")
    file = tmp_path / "conf"
    file.write_text('[default]\nusername = "nobody"\n[guest]\nusername = guest\n')
    assert (await admin("-c", str(file), "list", "users"))[0] == 65
    assert (await admin("-c", str(file), "-N", "guest", "list", "users"))[0] == 0


def test_no_node_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-P", "1", "list", "users"]) == 65
    assert main(["-P", "1", "list", "users", "name"]) == 1
    assert "*** Could not connect" in capsys.readouterr().err


def test_tables() -> None:
    rows = [["name", "n"], ["a", "10"]]
    assert drawn(rows, STYLES["psql"]) == " name | n  \n------+----\n a    | 10 "
    assert drawn(rows, STYLES["markdown"]) == "| name | n  |\n|------|----|\n| a    | 10 |"
    assert plain(rows) == "name  n  \na     10 "


# --- policies, definitions and the rest of version 2


async def made(admin: Admin, *lines: str) -> None:
    """Run lines that must work."""
    for line in lines:
        assert await admin(*line.split()) == (0, "", ""), line


async def definition(admin: Admin, name: str) -> dict[str, object]:
    """The definition of a policy, with its priority."""
    _, out, _ = await admin("definitions", "export", "--stdout")
    (found,) = [one for one in json.loads(out)["policies"] if one["name"] == name]
    return {**found["definition"], "priority": found["priority"]}


async def test_parts_of_policies_are_changed(admin: Admin) -> None:
    await made(
        admin,
        'policies declare --name p --pattern ^a --apply-to queues --priority 3 --definition {"max-length":7}',
        'policies declare_override --name p --definition {"max-length":9}',
        'policies declare_blanket --name b --apply-to queues --definition {"expires":7200000}',
        'policies patch --name p --definition {"expires":1000}',
        "policies update_definition --name p --definition-key max-length --new-value 12",
    )
    assert await definition(admin, "p") == {"max-length": 12, "expires": 1000, "priority": 3}
    assert await definition(admin, "overrides.p") == {"max-length": 9, "priority": 103}
    assert await definition(admin, "b") == {"expires": 7200000, "priority": -20}
    await made(
        admin,
        "policies update_definitions_of_all --definition-key max-length --new-value 14",
        "policies delete_definition_keys --name p --definition-keys expires,nothing",
        "policies delete_definition_keys_from_all_in --definition-keys expires",
    )
    assert await definition(admin, "p") == {"max-length": 14, "priority": 3}
    assert await definition(admin, "b") == {"max-length": 14, "priority": -20}


async def test_policies_are_found(admin: Admin) -> None:
    policies = "policies declare --pattern ^x --priority"
    await made(
        admin,
        f'{policies} 1 --name a --apply-to queues --definition {{"max-length":1}}',
        f'{policies} 1 --name b --apply-to exchanges --definition {{"alternate-exchange":"y"}}',
        f'{policies} 2 --name c --apply-to streams --definition {{"max-length-bytes":1}}',
    )

    async def names(*words: str) -> list[str]:
        _, out, _ = await admin("--non-interactive", "policies", *words)
        return [line.split()[0] for line in out.splitlines() if line.strip()]

    assert await names("list_matching_object", "--name", "xy", "--type", "streams") == ["c", "a"]
    assert await names("list_matching_object", "--name", "y", "--type", "streams") == []
    assert await names("list_in", "--apply-to", "exchanges") == ["b"]
    assert await names("list_conflicting") == ["a", "b"]


async def test_columns_are_chosen(admin: Admin) -> None:
    await made(admin, "queues declare --name q --type quorum", "streams declare --name s --expiration 1D")
    markdown = ("--table-style", "markdown")
    code, out, _ = await admin(
        *markdown, "queues", "show", "--name", "q", "--columns", "Name, queue_type,nonsense"
    )
    assert (code, out) == (0, "| name | queue_type |\n|------|------------|\n| q    | quorum     |\n")
    _, out, _ = await admin(*markdown, "streams", "list", "--columns", "durable,name")
    assert out.splitlines()[0] == "| durable | name |"
    assert (await admin("queues", "show", "--name", "nosuch"))[0] == 65


async def test_plugins_and_logins_are_listed(admin: Admin) -> None:
    _, out, _ = await admin("--non-interactive", "plugins", "list_all")
    (line,) = [line for line in out.splitlines() if "rabbitmq_management " in line]
    node, _, state = line.split()
    assert state == "Enabled"
    assert await admin("--non-interactive", "plugins", "list_on_node", "--node", node) == (0, out, "")
    _, out, _ = await admin("auth_attempts", "stats", "--node", node)
    assert "Number of attempts" in out


async def test_virtual_hosts_are_deleted_by_pattern(admin: Admin) -> None:
    await made(admin, *(f"vhosts declare --name v{number}" for number in range(3)))
    several = ("vhosts", "delete_multiple", "--name-pattern", "^(v[01]|/)$")
    _, out, _ = await admin("--table-style", "markdown", *several, "--dry-run")
    assert [line.split()[1] for line in out.splitlines()[2:]] == ["v0", "v1"]
    assert await admin(*several) == (
        65, "", "Command execution failed: This operation is destructive and requires the --approve flag\n",
    )  # fmt: skip
    assert await admin(*several, "--approve") == (0, "✅ Completed: 2 items processed successfully\n", "")
    _, out, _ = await admin("--non-interactive", "list", "vhosts")
    assert [line.split()[0] for line in out.splitlines()] == ["/", "v2"]


async def test_shovels_need_their_plugin(admin: Admin) -> None:
    assert (await admin("shovels", "list_all"))[0] == 65
    words = ["--source-uri", "amqp://", "--destination-uri", "amqp://"]
    words += ["--source-queue", "a", "--destination-queue", "b"]
    code, _, err = await admin("shovels", "declare_amqp091", "--name", "s", *words)
    assert (code, err) == (65, "Validation failed\n\ncomponent shovel not found\n\n")
    code, _, err = await admin("shovels", "declare_amqp091", "--name", "s", *words[:4])
    assert (code, "--source-queue <source_queue>|--source-exchange <source_exchange>" in err) == (2, True)


def transformations(*names: str) -> Any:
    document = {
        "users": [{"name": "ann", "password_hash": "x"}],
        "permissions": [{"user": "ann", "vhost": "/"}],
        "parameters": [1],
        "policies": [
            {
                "name": "p",
                "vhost": "/",
                "pattern": "^q",
                "apply-to": "queues",
                "definition": {"ha-mode": "all"},
            },
            {
                "name": "r",
                "vhost": "/",
                "pattern": "^z",
                "apply-to": "all",
                "definition": {"queue-mode": "lazy", "overflow": "reject-publish-dlx"},
            },
        ],
        "queues": [
            {"name": "q", "vhost": "/", "arguments": {"x-ha-policy": 1, "x-overflow": "reject-publish-dlx"}},
            {"name": "other", "vhost": "/", "arguments": {"x-ha-mode": "all"}},
        ],
    }
    return json.loads(transformed(json.dumps(document), ",".join(names)))


def test_definitions_are_made_ready_for_quorum_queues() -> None:
    found = transformations("prepare_for_quorum_queue_migration", "drop_empty_policies")
    assert [(one["name"], one["definition"]) for one in found["policies"]] == [
        ("r", {"overflow": "reject-publish"})
    ]
    assert [one["arguments"] for one in found["queues"]] == [
        {"x-ha-policy": 1, "x-overflow": "reject-publish", "x-queue-type": "quorum"},
        {},
    ]


def test_definitions_are_made_anonymous_and_smaller() -> None:
    found = transformations(
        "obfuscate_usernames", "exclude_runtime_parameters", "exclude_policies", "nonsense"
    )
    assert (found["users"][0]["name"], found["permissions"][0]["user"]) == ("obfuscated-user-1",) * 2
    assert found["users"][0]["password_hash"] != "x"
    assert (found["parameters"], found["policies"]) == ([], [])
    assert transformations("exclude_users", "exclude_permissions")["users"] == []


async def test_definitions_that_are_no_json_are_refused(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text("no JSON")
    code, _, err = await admin("definitions", "import", "--file", str(path))
    text = f"Command execution failed: `{path}` is not a valid JSON file: expected ident at line 1 column 2\n"
    assert (code, err) == (65, text)
    code, _, err = await admin("definitions", "import", "--file", "/nosuch")
    reason = "No such file or directory (os error 2)"
    assert err == f"Command execution failed: `/nosuch` does not exist or is not readable: {reason}\n"
    assert (await admin("definitions", "import"))[0] == 2


async def test_the_configuration_file_is_shown_and_changed(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "admin.toml"
    monkeypatch.setenv("RABBITMQADMIN_CONFIG_FILE_PATH", str(path))
    assert (await admin("config_file", "show"))[0] == 65
    await made(
        admin,
        "config_file add_node --node a --host h --port 1 --username u --password s3cret --create-file-if-missing",
        "config_file update_node --node a --vhost v",
        "config_file add_node --node b.c --host i",
    )
    assert path.stat().st_mode & 0o777 == 0o600
    _, out, _ = await admin("config_file", "show")
    assert "********" in out
    assert "s3cret" not in out
    assert "s3cret" in (await admin("config_file", "show", "--reveal-passwords", "true"))[1]
    await made(admin, "config_file delete_node --node a")
    assert path.read_text() == '["b.c"]\nhostname = "i"\n'
    assert (await admin("config_file", "delete_node", "--node", "a"))[0] == 65


@pytest.mark.parametrize(
    ("line", "code", "problem"),
    [
        ("list queues --timeout x", 2, "unexpected argument '--timeout' found"),
        ("--timeout 0 list queues", 2, "0 is not in 1..18446744073709551615"),
        ("--table-style odd list queues", 2, "[possible values: modern, borderless,"),
        (
            "queues declare --name q --durable maybe",
            2,
            "error: invalid value 'maybe' for '--durable <durable>'",
        ),
        ("health_check port_listener --port x", 2, "invalid value 'x' for '--port <port>': invalid digit"),
        ("declare vhost_limit --name max-queues --value x", 65, "'x' is not a valid integer value"),
        ("users declare --name u", 64, "Please provide either --password or --password-hash"),
        (
            "policies update_definition --name p",
            2,
            "  --definition-key <definition_key>\n  --new-value <definition_value>\n\nUsage: rabbitmqadmin policies "
            "update_definition --name <name> --definition-key <definition_key> --new-value <definition_value>",
        ),
        ("-P x list queues", 2, "invalid value 'x' for '--port <port>': invalid digit found in string"),
        ("-P 65536 list queues", 2, "65536 is not in 0..=65535"),
        ("-U nosuch list queues", 65, "Invalid base URI 'nosuch': relative URL without a base"),
        ("-U http://h:x/api list queues", 65, "Invalid base URI 'http://h:x/api': invalid port number"),
        ("-d x list queues name", 2, "invalid value 'x' for '--depth <depth>': it should be a number"),
        (
            "-f nosuch list queues name",
            2,
            "[possible values: raw_json, pretty_json, tsv, long, table, kvp, bash]",
        ),
        ("declare queue name=q arguments={", 1, "ERROR: Could not parse JSON:\n  {\n"),
        ("--nosuch list", 2, "error: unexpected argument '--nosuch' found"),
        ("list queues --page 0 --page-size 5", 2, "0 is not in 1..18446744073709551615"),
        ("list queues --page 1 --page-size 501", 2, "501 is not in 1..=500"),
        ("declare queue --name --durable true", 2, "a value is required for '--name <name>'"),
        ("publish message --payload -y", 2, "error: unexpected argument '-y' found"),
        (
            "declare exchange --name e --arguments []",
            65,
            "invalid type: sequence, expected a map at line 1 column 0",
        ),
        (
            "declare exchange --name e --arguments 1",
            65,
            "invalid type: integer `1`, expected a map at line 1 column 1",
        ),
        (
            "declare policy --name p --pattern x --apply-to queues --definition {} --priority high",
            64,
            "Invalid value for argument 'priority': invalid digit found in string",
        ),
        ("get messages --queue q --count x", 64, "Invalid value for argument 'count': invalid digit"),
        (
            "federation declare_upstream --name f --uri amqp:// --max-hops x",
            2,
            "invalid value 'x' for '--max-hops <max_hops>'",
        ),
        (
            "declare binding --source a --destination-type queue --destination b",
            2,
            "the following required arguments were not provided:\n  --routing-key <routing_key>",
        ),
        (
            "declare permissions --username guest --configure ( --read .* --write .*",
            65,
            "API responded with a client error: status code of 400 Bad Request",
        ),
        ("queues", 2, "Operations on queues\n\nUsage: rabbitmqadmin queues [OPTIONS] [queue]"),
    ],
)
async def test_wrong_arguments_are_refused_as_by_the_original(
    admin: Admin, line: str, code: int, problem: str
) -> None:
    done = await admin(*line.split())
    assert (done[0], done[1]) == (code, "")
    assert problem in done[2]


@pytest.mark.parametrize(
    "words", [["--help"], ["help"], ["queues", "--help"], ["help", "queues"], ["queues", "declare", "--help"]]
)
def test_help_is_printed_for_the_tool_a_group_and_a_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "Usage: rabbitmqadmin" in out
    if len(words) == 3:
        assert (
            "Declares a queue or a stream\n\nUsage: rabbitmqadmin queues declare [OPTIONS] --name <name>"
            in out
        )


async def test_peer_verification_of_shovels_is_changed(admin: Admin) -> None:
    """There are none here: the commands find nothing to do."""
    await made(admin, "shovels disable_tls_peer_verification_for_all_source_uris")
    code, _, err = await admin("federation", "enable_tls_peer_verification_for_all_upstreams")
    assert (code, "--node-local-ca-certificate-bundle-path" in err) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_shells_complete_commands(admin: Admin, shell: str) -> None:
    code, out, _ = await admin("shell", "completions", "--shell", shell)
    assert code == 0
    assert "list_matching_object" in out


def test_files_of_tls_that_are_not_there_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--use-tls", "--tls-ca-cert-file", "/nosuch", "list", "queues"]) == 65
    assert "No such file or directory" in capsys.readouterr().err


async def test_objects_in_tables_are_shown_as_by_the_original(admin: Admin) -> None:
    await made(
        admin,
        "declare vhost_limit --name max-queues --value 5",
        "declare vhost_limit --name max-connections --value 7",
        'global_parameters set --name g --value {"b":["\u00fc"],"a":1}',
        "declare parameter --component operator_policy --name o --value "
        '{"pattern":"^x","priority":0,"definition":{"expires":1}}',
    )
    shown = (await admin("--table-style", "markdown", "list", "vhost_limits"))[1].splitlines()[2:]
    assert [line.split("|")[2].strip() for line in shown] == ["max-connections: 7", "max-queues: 5", ""]
    assert '{"a":1,"b":["\u00fc"]}' in (await admin("list", "global_parameters"))[1]
    assert "operator_policy" in (await admin("parameters", "list_all"))[1]
    assert "operator_policy" in (await admin("parameters", "list_in", "--component", "operator_policy"))[1]
    assert (await admin("-V", "nowhere", "list", "parameters"))[1].count("operator_policy") == 0
    assert "erlang_full_version" in (await admin("list", "nodes"))[1]


async def test_columns_that_are_nowhere_are_empty_in_version_1(admin: Admin) -> None:
    await made(admin, "declare queue --name q")
    assert (await admin("list", "queues", "nosuch"))[1].splitlines()[3:] == ["|        |", "+--------+"]
    assert (await admin("-f", "bash", "list", "queues", "nosuch")) == (0, "", "")
