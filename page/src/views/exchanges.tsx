// Exchanges.
import { call, path, type Json } from "../api";
import { exchangeName, rate } from "../format";
import { link, setQuery, usePoll, useRoute } from "../hooks";
import { List } from "../list";
import { Chart, useSamples } from "../chart";
import {
  Act,
  confirmed,
  Counted,
  Facts,
  Features,
  Fold,
  Form,
  LongTable,
  pairs,
  Section,
  Tag,
  Title,
  Values,
  Waiting,
  type Column,
  type Field,
} from "../ui";
import { useMay } from "../session";
import { rateOf, type Binding, type Exchange } from "../types";
import { bindingColumns, UnbindContext } from "./bindings";
import { useTarget, useVhostColumn } from "./common";
import { Publish } from "./messages";
import { Drawn, exchangePicture, vhostPicture } from "./topology";

const TYPES = [
  "direct",
  "fanout",
  "topic",
  "headers",
  "x-consistent-hash",
  "x-modulus-hash",
  "x-random",
  "x-local-random",
  "x-recent-history",
  "x-delayed-message",
];

const features = (one: Exchange): [boolean | undefined, string, string][] => [
  [one.durable, "D", "durable"],
  [one.auto_delete, "AD", "deleted when its last binding is gone"],
  [one.internal, "I", "internal: clients may not publish to it"],
  ["alternate-exchange" in one.arguments, "AE", "alternate exchange"],
  [Boolean(one.policy), "pol", `policy ${one.policy ?? ""}`],
];

export function ExchangesPage() {
  const { query } = useRoute();
  const target = useTarget();
  const picture = query.get("view") === "picture";
  const columns: Column<Exchange>[] = [
    { title: "Name", sort: "name", cell: (one) => <a href={link("exchanges", one.vhost, one.name || "amq.default")}>{exchangeName(one.name)}</a> },
    ...useVhostColumn<Exchange>(),
    { title: "Type", sort: "type", cell: (one) => one.type },
    { title: "Features", cell: (one) => <Features of={features(one)} />, wide: true },
    { title: "In", sort: "message_stats.publish_in_details.rate", number: true, cell: (one) => rate(rateOf(one.message_stats, "publish_in") ?? 0) },
    { title: "Out", sort: "message_stats.publish_out_details.rate", number: true, cell: (one) => rate(rateOf(one.message_stats, "publish_out") ?? 0) },
  ];
  return (
    <>
      <Title
        actions={
          <div class="switch" role="group" aria-label="View">
            <button type="button" aria-pressed={!picture} onClick={() => setQuery({ view: "" })}>
              List
            </button>
            <button type="button" aria-pressed={picture} onClick={() => setQuery({ view: "picture" })}>
              Picture
            </button>
          </div>
        }
      >
        Exchanges
      </Title>
      {picture ? (
        <>
          <p class="muted">
            Exchanges of virtual host {target} and the queues that they feed. The default exchange, which leads to every
            queue, is not drawn.
          </p>
          {target !== "" && (
            <Drawn make={() => vhostPicture(target)} again={target} label={`Bindings of virtual host ${target}`} none="No exchange has a binding." />
          )}
        </>
      ) : (
        <List<Exchange>
          of="exchanges"
          byVhost={(vhost) => path("exchanges", vhost)}
          label="Exchanges"
          columns={columns}
          keyOf={(one) => `${one.vhost}\n${one.name}`}
          none="There is no exchange."
        />
      )}
      <NewExchange />
    </>
  );
}

function NewExchange() {
  const vhost = useTarget();
  const may = useMay(vhost);
  if (!may.configure) return null;
  const form: Field[] = [
    { name: "name", label: "Name", required: true, hint: `in virtual host ${vhost}`, means: /exchange name|reserved/ },
    { name: "type", label: "Type", kind: "select", options: TYPES, initial: "direct", means: /type/ },
    { name: "durable", label: "Durable", kind: "check", initial: "true" },
    { name: "auto_delete", label: "Delete when unused", kind: "check" },
    { name: "internal", label: "Internal", kind: "check" },
    { name: "arguments", label: "Arguments", kind: "pairs", options: ["alternate-exchange", "x-delayed-type", "hash-header"], hint: "one name = value on each line", means: /\barg|x-/ },
  ];
  const submit = async (values: { [field: string]: string }) => {
    const given: { [name: string]: Json } = pairs("arguments", values.arguments ?? "");
    const body = {
      type: values.type,
      durable: values.durable === "true",
      auto_delete: values.auto_delete === "true",
      internal: values.internal === "true",
      arguments: given,
    };
    await call("PUT", path("exchanges", vhost, values.name ?? ""), body);
    location.hash = link("exchanges", vhost, values.name ?? "");
  };
  return (
    <Fold title="Add an exchange">
      <Form fields={form} verb="Add exchange" submit={submit} done={(values) => `Exchange ${values.name} was declared.`} />
    </Fold>
  );
}

export function ExchangePage({ vhost, name }: { vhost: string; name: string }) {
  const samples = useSamples("lengths", "msg_rates");
  const at = path("exchanges", vhost, name);
  const polled = usePoll<Exchange>(`${at}?${samples}`);
  const source = usePoll<Binding[]>(`${at}/bindings/source`);
  const may = useMay(vhost, name);
  const exchange = polled.data;
  if (!exchange) return <Waiting polled={polled} />;
  const own = exchange.name !== "" && !exchange.name.startsWith("amq.");
  const remove = async () => {
    await call("DELETE", at);
    location.hash = "#/exchanges";
  };
  return (
    <>
      <Title
        kind="Exchange"
        name={exchange.name}
        tags={
          <>
            <Tag>{exchange.type}</Tag> <Features of={features(exchange)} />
          </>
        }
        actions={
          own && may.configure ? (
            <Act
              label="Delete"
              title={`Delete ${exchange.name}?`}
              danger
              lost={<p>The exchange is deleted with all its bindings. Publishing to it closes a channel from then on.</p>}
              run={remove}
              done={`Exchange ${exchange.name} was deleted.`}
            />
          ) : null
        }
      >
        {exchangeName(exchange.name)}
      </Title>
      <div class="charts">
        <Chart
          title="Rates"
          counts={exchange.message_stats}
          perSecond
          series={[
            { name: "In", field: "publish_in", colour: 1 },
            { name: "Out", field: "publish_out", colour: 2 },
          ]}
        />
      </div>
      {exchange.name !== "" && (
        <Section title="Who feeds whom">
          <Drawn
            make={() => exchangePicture(vhost, exchange)}
            again={JSON.stringify([vhost, name, source.data?.length])}
            label={`Bindings of ${exchangeName(exchange.name)}, end to end`}
            none="Nothing is bound: messages that are published here go nowhere."
          />
        </Section>
      )}
      {exchange.name !== "" && <ExchangeBindings exchange={exchange} bindings={source.data ?? []} may={may.read} refresh={source.refresh} />}
      {may.write && !exchange.internal && (
        <Fold title="Publish a message">
          <Publish vhost={vhost} exchange={exchange.name} />
        </Fold>
      )}
      <Section title="Facts">
        <Facts
          of={[
            ["Virtual host", <a href={link("vhosts", vhost)}>{vhost}</a>],
            ["Arguments", <Values of={exchange.arguments} />],
            ["Policy", exchange.policy ? <a href={link("policies", vhost, exchange.policy)}>{exchange.policy}</a> : "none"],
            ["Delayed messages", exchange.messages_delayed],
          ]}
        />
      </Section>
    </>
  );
}

function ExchangeBindings({
  exchange,
  bindings,
  may,
  refresh,
}: {
  exchange: Exchange;
  bindings: Binding[];
  may: boolean;
  refresh: () => void;
}) {
  const form: Field[] = [
    { name: "kind", label: "To", kind: "select", options: ["queue", "exchange"], initial: "queue" },
    { name: "destination", label: "Name", required: true, means: /no queue|no exchange|not_found|queue|exchange/ },
    { name: "routing_key", label: "Routing key" },
    { name: "arguments", label: "Arguments", kind: "pairs", options: ["x-match"], hint: "one name = value on each line", means: /arg|x-match/ },
  ];
  const kindOf = (kind: string | undefined) => (kind === "exchange" ? "e" : "q");
  const bind = async (values: { [field: string]: string }) => {
    const body = { routing_key: values.routing_key, arguments: pairs("arguments", values.arguments ?? "") };
    const to = path("bindings", exchange.vhost, "e", exchange.name, kindOf(values.kind), values.destination ?? "");
    await call("POST", to, body);
    refresh();
  };
  const unbind = async (one: Binding) => {
    const lost = <p>Messages do not go from {exchange.name} to {one.destination} over this binding any more.</p>;
    if (!(await confirmed(`Unbind ${one.destination}?`, lost, "Unbind"))) return;
    const kind = kindOf(one.destination_type);
    await call("DELETE", path("bindings", one.vhost, "e", one.source, kind, one.destination, one.properties_key));
    refresh();
  };
  return (
    <Section title={<Counted label="Bindings" value={bindings.length} />}>
      <UnbindContext.Provider value={may ? unbind : null}>
        <LongTable
          label="Bindings"
          columns={bindingColumns("destination")}
          rows={bindings}
          keyOf={(one) => `${one.destination_type}\n${one.destination}\n${one.properties_key}`}
          none="No binding."
        />
      </UnbindContext.Provider>
      {may && (
        <Fold title="Bind a queue or an exchange">
          <Form fields={form} verb="Bind" submit={bind} done="The binding was made." />
        </Fold>
      )}
    </Section>
  );
}
