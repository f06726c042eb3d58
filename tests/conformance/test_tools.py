"""How the output of management tools is read, and the command lines."""

from __future__ import annotations

from conformance.tools import lines, output

TABLE = """| Overview                 |
|------------------|-------|
| key              | value |
| Product name     | R     |
| Erlang version   | 29    |
"""
ROWS = """| name | pattern |
|------|---------|
| p    | ^(a|b)$ |
"""


def test_a_table_of_two_columns_is_read_by_key_and_volatile_values_are_masked() -> None:
    assert output.value(TABLE) == [{"Product name": "R"}, {"Erlang version": "(some)"}]


def test_a_bar_in_a_cell_does_not_make_a_new_head() -> None:
    assert output.value(ROWS) == [{"name": "p", "pattern": "^(a"}]


def test_json_is_read_and_other_output_is_text_without_the_address_of_the_broker() -> None:
    assert output.value('{"a": [1]}') == {"a": [1]}
    assert output.value("at http://127.0.0.1:15672/api\nend") == ["at {endpoint}/api", "end"]


def test_a_line_has_words_and_what_the_program_reads() -> None:
    first, second = lines.lines("# shown\n-V shop list queues\n\nimport --stdin <<{}")
    assert (first.words, first.stdin) == (("-V", "shop", "list", "queues"), "")
    assert (second.name, second.stdin) == ("import --stdin", "{}")


def test_every_subcommand_of_rabbitmqadmin_1_is_called() -> None:
    called = {
        pair for each in lines.rabbitmqadmin(1) for pair in zip(each.words, each.words[1:], strict=False)
    }
    shown = ("connections", "channels", "consumers", "exchanges", "queues", "bindings", "users", "vhosts")
    shown += ("permissions", "nodes", "parameters", "policies", "operator_policies", "vhost_limits")
    made = ("exchange", "queue", "binding", "vhost", "user", "permission", "parameter", "policy")
    made += ("operator_policy", "vhost_limit")
    wanted = [("list", name) for name in shown]
    wanted += [(verb, name) for verb in ("declare", "delete") for name in made]
    assert not set(wanted) - called
