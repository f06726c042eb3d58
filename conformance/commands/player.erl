%% Plays command lines with RabbitMQ's own command-line tool, all in one Erlang VM: a start of the tool costs two
%% seconds of CPU, a command in a running VM a few milliseconds. Reads one JSON object a line ({"tool", "argv",
%% "stdin"}), and writes one line for each ("@" and a JSON object: "stdout", "stderr", "code").
-module(player).
-export([main/1]).

main(Tool) ->
    unpack(Tool),
    {ok, _} = application:ensure_all_started(elixir),
    application:set_env(logger, level, warning, [{persistent, true}]),
    {ok, _} = application:ensure_all_started(rabbitmqctl),
    logger:set_primary_config(level, error),
    ok = io:setopts(user, [binary, {encoding, unicode}]),
    rename_script(),
    play_lines().

%% The tool is an escript with an archive: the archive's modules go on the code path.
unpack(Tool) ->
    {ok, Parts} = escript:extract(Tool, []),
    {archive, Archive} = lists:keyfind(archive, 1, Parts),
    Folder = "/tmp/rabbitmq-command-player",
    {ok, _} = zip:unzip(Archive, [{cwd, Folder}]),
    [code:add_patha(Ebin) || Ebin <- filelib:wildcard(Folder ++ "/*/ebin")],
    ok.

%% The tool reads its name (rabbitmqctl, rabbitmq-diagnostics, ...) from escript:script_name/0.
rename_script() ->
    Forms = [{attribute, 1, module, escript},
             {attribute, 1, export, [{script_name, 0}]},
             {function, 1, script_name, 0, [{clause, 1, [], [], [
                 {call, 1, {remote, 1, {atom, 1, persistent_term}, {atom, 1, get}}, [{atom, 1, script_name}]}]}]}],
    {ok, escript, Binary} = compile:forms(Forms),
    code:unstick_mod(escript),
    code:purge(escript),
    {module, escript} = code:load_binary(escript, "escript.erl", Binary).

play_lines() ->
    case io:get_line(user, "") of
        Line when is_binary(Line) ->
            Answer = play(json:decode(Line)),
            io:put_chars(user, ["@", json:encode(Answer), "\n"]),
            play_lines();
        _ ->
            halt(0)
    end.

play(#{<<"tool">> := Tool, <<"argv">> := Argv, <<"stdin">> := Input}) ->
    persistent_term:put(script_name, binary_to_list(Tool)),
    application:unset_env(rabbitmqctl, commands),
    application:unset_env(rabbitmqctl, commands_core),
    {ok, Out} = 'Elixir.StringIO':open(Input),
    {ok, Err} = 'Elixir.StringIO':open(<<>>),
    Real = whereis(standard_error),
    unregister(standard_error),
    register(standard_error, Err),
    {Pid, Monitor} = spawn_monitor(fun() ->
        group_leader(Out, self()),
        'Elixir.System':argv(Argv),
        'Elixir.RabbitMQCtl':main1(Argv)
    end),
    Code = receive
        {'DOWN', Monitor, process, Pid, {shutdown, Status}} -> Status;
        {'DOWN', Monitor, process, Pid, Reason} ->
            iolist_to_binary(io_lib:format("~tp", [Reason]))
    end,
    unregister(standard_error),
    register(standard_error, Real),
    {ok, {_, Stdout}} = 'Elixir.StringIO':close(Out),
    {ok, {_, Stderr}} = 'Elixir.StringIO':close(Err),
    #{stdout => Stdout, stderr => Stderr, code => Code}.
