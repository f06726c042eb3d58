%% Runs in the root of an installed RabbitMQ, without its server: its own cuttlefish and schemas.
%%     schema     prints a line for each mapping: key, types, validators, target, aliases
%%     check DIR  prints for each file of DIR (or subdirectory: its files, merged) its name and what comes of it
-module(ask).
-export([main/1]).

main([Plugins, What | Arguments]) ->
    logger:set_primary_config(level, none),
    io:setopts([{encoding, unicode}]),
    Schema = cuttlefish_schema:files(lists:sort(filelib:wildcard(Plugins ++ "/*/priv/schema/*.schema"))),
    run(What, Arguments, Schema),
    halt().

run("schema", [], {_Translations, Mappings, _Validators}) ->
    lists:foreach(fun print_mapping/1, Mappings);
run("check", [Directory], Schema) ->
    {ok, Names} = file:list_dir(Directory),
    lists:foreach(
      fun(Name) ->
              io:format("@@ ~ts~n", [Name]),
              check(filename:join(Directory, Name), Schema)
      end, lists:sort(Names)).

check(Path, Schema) ->
    Files = case filelib:is_dir(Path) of
                true -> lists:sort(filelib:wildcard(Path ++ "/*.conf"));
                false -> [Path]
            end,
    try
        read(cuttlefish_conf:files(Files), Schema)
    catch
        _:Why -> io:format("crash~n~0tp~n", [Why])
    end.

read({errorlist, Errors}, _Schema) -> problems("syntax", Errors);
read(Conf, Schema) ->
    case cuttlefish_generator:map(Schema, Conf) of
        {error, Phase, {errorlist, Errors}} -> problems(Phase, Errors);
        Config -> io:format("accepted~n~0tp~n", [proplists:delete(vm_args, Config)])
    end.

problems(Phase, Errors) ->
    io:format("~ts~n", [Phase]),
    lists:foreach(fun(Error) -> io:format("- ~ts~n", [words(Error)]) end, Errors).

words(Error) ->
    try lists:flatten(cuttlefish_error:xlate(Error))
    catch _:_ -> io_lib:format("crash ~0tp", [Error])
    end.

print_mapping(Mapping) ->
    io:format("~ts\t~ts\t~ts\t~ts\t~ts~n",
              [cuttlefish_variable:format(cuttlefish_mapping:variable(Mapping)),
               lists:join("|", [type(Type) || Type <- cuttlefish_mapping:datatype(Mapping)]),
               lists:join(" ", element(11, Mapping)),
               cuttlefish_mapping:mapping(Mapping),
               lists:join(" ", [cuttlefish_variable:format(Alias) || Alias <- cuttlefish_mapping:aliases(Mapping)])]).

type({integer, positive}) -> "integer:1..";
type({integer, non_negative}) -> "integer:0..";
type({integer, [{min, Least}, {max, Most}]}) -> io_lib:format("integer:~b..~b", [Least, Most]);
type({float, [{gt, Above}, {lt, Below}]}) -> io_lib:format("float:~b..~b", [Above, Below]);
type({enum, Words}) -> ["enum:", lists:join(",", [atom_to_list(Word) || Word <- Words])];
type({Type, Argument}) when is_atom(Argument) -> io_lib:format("~ts:~ts", [Type, Argument]);
type(Type) when is_atom(Type) -> atom_to_list(Type).
