// Queues and streams.
import { ApiError, call, path, type Json } from "../api";
import { ago, brief, bytes, count, date, NONE, rate } from "../format";
import { link, usePoll } from "../hooks";
import { List } from "../list";
import { Chart, Spark, useSamples } from "../chart";
import {
  Act,
  confirmed,
  Counted,
  Facts,
  Features,
  Figure,
  Fold,
  Form,
  LongTable,
  pairs,
  say,
  Section,
  State,
  Table,
  Tag,
  Title,
  Values,
  Waiting,
  type Column,
  type Field,
} from "../ui";
import { useMay } from "../session";
import { fields, rateOf, type Binding, type May, type Page, type Queue } from "../types";
import { bindingColumns, UnbindContext } from "./bindings";
import { useTarget, useVhostColumn } from "./common";
import { Consumers } from "./consumers";
import { Get, Held, Look, Move, Publish, Purge } from "./messages";
import { causes, deadLetter, deadLetterPicture, Drawn } from "./topology";

export const queueFeatures = (one: Queue): [boolean | undefined, string, string][] => [
  [one.durable, "D", "durable"],
  [one.auto_delete, "AD", "deleted when its last consumer is gone"],
  [one.exclusive, "excl", "exclusive to one connection"],
  ["x-message-ttl" in one.arguments, "TTL", "messages expire"],
  ["x-expires" in one.arguments, "exp", "the queue expires when it is not used"],
  ["x-max-length" in one.arguments || "x-max-length-bytes" in one.arguments, "lim", "limited length"],
  ["x-max-priority" in one.arguments, "pri", "priorities"],
  ["x-single-active-consumer" in one.arguments, "SAC", "single active consumer"],
  ["x-dead-letter-exchange" in one.arguments, "DLX", "dead-letter exchange"],
  [Boolean(one.policy), "pol", `policy ${one.policy ?? ""}`],
];

const nameColumn: Column<Queue> = {
  title: "Name",
  sort: "name",
  cell: (one) => <a href={link("queues", one.vhost, one.name)}>{one.name || "(empty)"}</a>,
};

/** Asks for the numbers of messages in the last five minutes. */
const DEPTHS = "lengths_age=300&lengths_incr=20";

/** How many requests of one action run at the same time. */
const AT_ONCE = 4;

/** Call the API for each queue; says how many succeeded, and why the others did not. */
async function forEach(queues: Queue[], method: string, suffix: string, verb: string): Promise<void> {
  const waiting = [...queues];
  const refused: string[] = [];
  const work = async () => {
    for (let one = waiting.pop(); one; one = waiting.pop()) {
      try {
        await call(method, `${path("queues", one.vhost, one.name)}${suffix}`);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        refused.push(`${one.name}: ${error.reason}`);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const done = queues.length - refused.length;
  const text = `${count(done)} ${done === 1 ? "queue was" : "queues were"} ${verb}.`;
  if (refused.length === 0) say(text);
  else say(`${text} ${count(refused.length)} refused: ${refused.slice(0, 3).join("; ")}`, "bad");
}

/** What can be done with several queues. */
function Chosen({ queues, done, may }: { queues: Queue[]; done: () => void; may: May }) {
  const messages = queues.reduce((sum, one) => sum + (one.messages ?? 0), 0);
  const names = `${queues.slice(0, 8).map((one) => one.name).join(", ")}${queues.length > 8 ? ", …" : ""}`;
  const purged = queues.filter((one) => one.type !== "stream");
  const several = (number: number) => `${count(number)} ${number === 1 ? "queue" : "queues"}`;
  return (
    <>
      {may.read && purged.length > 0 && (
        <Act
          label="Purge"
          small
          title={`Purge ${several(purged.length)}?`}
          lost={<p>Their ready messages are lost: {names}.</p>}
          run={() => forEach(purged, "DELETE", "/contents", "purged").then(done)}
        />
      )}
      {may.configure && (
        <Act
          label="Delete"
          small
          danger
          title={`Delete ${several(queues.length)}?`}
          lost={<p>They are deleted with {count(messages)} messages and all their bindings: {names}.</p>}
          run={() => forEach(queues, "DELETE", "", "deleted").then(done)}
        />
      )}
    </>
  );
}

export function QueuesPage() {
  const may = useMay(useTarget());
  const columns: Column<Queue>[] = [
    nameColumn,
    ...useVhostColumn<Queue>(),
    { title: "Type", sort: "type", cell: (one) => one.type, wide: true },
    { title: "Features", cell: (one) => <Features of={queueFeatures(one)} />, wide: true },
    { title: "State", sort: "state", cell: (one) => <State value={one.state} />, wide: true },
    { title: "Ready", sort: "messages_ready", number: true, cell: (one) => count(one.messages_ready) },
    { title: "Unacked", sort: "messages_unacknowledged", number: true, cell: (one) => count(one.messages_unacknowledged) },
    { title: "Total", sort: "messages", number: true, cell: (one) => count(one.messages), wide: true },
    { title: "5 min", cell: (one) => <Spark samples={one.messages_details?.samples} label="Messages" />, wide: true },
    { title: "Consumers", sort: "consumers", number: true, cell: (one) => count(one.consumers) },
    { title: "In", sort: "message_stats.publish_details.rate", number: true, cell: (one) => rate(rateOf(one.message_stats, "publish") ?? 0) },
    { title: "Out", sort: "message_stats.deliver_get_details.rate", number: true, cell: (one) => rate(rateOf(one.message_stats, "deliver_get") ?? 0) },
    { title: "Redelivered", sort: "message_stats.redeliver_details.rate", number: true, cell: (one) => rate(rateOf(one.message_stats, "redeliver") ?? 0), wide: true, extra: true },
    { title: "Octets", sort: "message_bytes", number: true, cell: (one) => bytes(one.message_bytes), wide: true, extra: true },
    { title: "Policy", sort: "policy", cell: (one) => one.policy || NONE, wide: true, extra: true },
    { title: "Idle since", sort: "idle_since", cell: (one) => (one.idle_since ? ago(Date.parse(one.idle_since)) : NONE), wide: true, extra: true },
    { title: "Ack", sort: "message_stats.ack_details.rate", number: true, cell: (one) => rate(rateOf(one.message_stats, "ack") ?? 0), wide: true },
  ];
  return (
    <>
      <Title>Queues</Title>
      <List<Queue>
        of="queues"
        byVhost={(vhost) => path("queues", vhost)}
        label="Queues"
        columns={columns}
        keyOf={(one) => `${one.vhost}\n${one.name}`}
        more={DEPTHS}
        {...(may.read || may.configure ? { actions: (chosen, done) => <Chosen queues={chosen} done={done} may={may} /> } : {})}
        none="There is no queue yet."
      />
      <NewQueue />
    </>
  );
}

const ARGUMENTS = [
  "x-message-ttl",
  "x-expires",
  "x-max-length",
  "x-max-length-bytes",
  "x-overflow",
  "x-dead-letter-exchange",
  "x-dead-letter-routing-key",
  "x-single-active-consumer",
  "x-max-priority",
  "x-delivery-limit",
  "x-max-age",
];

function NewQueue() {
  const vhost = useTarget();
  const may = useMay(vhost);
  if (!may.configure) return null;
  const form: Field[] = [
    { name: "name", label: "Name", required: true, hint: `in virtual host ${vhost}`, means: /queue name|reserved|queue should/ },
    { name: "type", label: "Type", kind: "select", options: ["", "classic", "quorum", "stream"], means: /queue-type|queue_type/ },
    { name: "durable", label: "Durable", kind: "check", initial: "true", means: /durable|transient/ },
    { name: "auto_delete", label: "Delete when unused", kind: "check", means: /auto.?delete/ },
    { name: "arguments", label: "Arguments", kind: "pairs", options: ARGUMENTS, hint: "one name = value on each line", means: /\barg\b|x-|argument/ },
  ];
  const submit = async (values: { [field: string]: string }) => {
    const given: { [name: string]: Json } = pairs("arguments", values.arguments ?? "");
    if (values.type) given["x-queue-type"] = values.type;
    const body = { durable: values.durable === "true", auto_delete: values.auto_delete === "true", arguments: given };
    await call("PUT", path("queues", vhost, values.name ?? ""), body);
    location.hash = link("queues", vhost, values.name ?? "");
  };
  return (
    <Fold title="Add a queue">
      <Form fields={form} verb="Add queue" submit={submit} done={(values) => `Queue ${values.name} was declared.`} />
    </Fold>
  );
}

// --- one queue

export function QueuePage({ vhost, name }: { vhost: string; name: string }) {
  const samples = useSamples("lengths", "msg_rates");
  const at = path("queues", vhost, name);
  const polled = usePoll<Queue>(`${at}?${samples}`);
  const may = useMay(vhost, name);
  const publishes = useMay(vhost, "amq.default").write;
  const queue = polled.data;
  if (!queue) return <Waiting polled={polled} />;
  const stream = queue.type === "stream";
  const remove = async () => {
    await call("DELETE", at);
    location.hash = "#/queues";
  };
  return (
    <>
      <Title
        kind={stream ? "Stream" : "Queue"}
        name={queue.name}
        tags={
          <>
            <Tag>{queue.type}</Tag> <State value={queue.state} /> <Features of={queueFeatures(queue)} />
          </>
        }
        actions={
          <>
            {may.read && !stream && <Purge queue={queue} refresh={polled.refresh} />}
            {may.configure && (
              <Act
                label="Delete"
                title={`Delete ${queue.name}?`}
                danger
                lost={
                  <p>
                    The queue is deleted with its {count(queue.messages)} messages and all its bindings
                    {queue.consumers ? `; ${count(queue.consumers)} consumers are cancelled` : ""}.
                  </p>
                }
                run={remove}
                done={`Queue ${queue.name} was deleted.`}
              />
            )}
          </>
        }
      >
        {queue.name}
      </Title>
      <QueueFigures queue={queue} stream={stream} />
      <div class="charts">
        <Chart
          title="Messages"
          counts={queue as never}
          series={[
            { name: "Ready", field: "messages_ready", colour: 1 },
            { name: "Unacked", field: "messages_unacknowledged", colour: 2 },
          ]}
        />
        <Chart
          title="Rates"
          counts={queue.message_stats}
          perSecond
          series={[
            { name: "In", field: "publish", colour: 1 },
            { name: "Out", field: "deliver_get", colour: 2 },
            { name: "Acknowledge", field: "ack", colour: 3 },
            { name: "Redeliver", field: "redeliver", colour: 4 },
          ]}
        />
      </div>
      <Section title={<Counted label="Consumers" value={queue.consumers} />}>
        <Consumers rows={queue.consumer_details ?? []} />
      </Section>
      {!stream && <DeadLetters queue={queue} />}
      <QueueBindings queue={queue} may={may.write} />
      {may.read && stream && (
        <Section title="Messages">
          <Look queue={queue} />
        </Section>
      )}
      {may.read && !stream && (
        <Section title="Messages">
          <Look queue={queue} />
          <Fold title="Unacknowledged messages by holder">
            <Held queue={queue} />
          </Fold>
          <Fold title="Get messages">
            <Get queue={queue} />
          </Fold>
          {publishes && (
            <Fold title="Move messages">
              <Move queue={queue} />
            </Fold>
          )}
        </Section>
      )}
      {publishes && (
        <Fold title="Publish a message to this queue">
          <Publish vhost={vhost} exchange="" to={name} />
        </Fold>
      )}
      <QueueFacts queue={queue} />
    </>
  );
}

function QueueFigures({ queue, stream }: { queue: Queue; stream: boolean }) {
  return (
    <div class="figures">
      <Figure name="Ready" value={brief(queue.messages_ready)} note="messages" />
      <Figure name="Unacked" value={brief(queue.messages_unacknowledged)} note="messages" />
      <Figure name="Consumers" value={count(queue.consumers)} />
      {stream ? (
        <Figure name="Segments" value={count(queue.segments)} />
      ) : (
        <Figure name="Octets" value={bytes(queue.message_bytes)} note="of bodies" />
      )}
      {queue.messages_delayed !== undefined && <Figure name="Delayed" value={count(queue.messages_delayed)} note="for retry" />}
    </div>
  );
}

function DeadLetters({ queue }: { queue: Queue }) {
  const dead = deadLetter(queue);
  if (dead === null) {
    return (
      <Section title="Dead letters">
        <p class="muted">
          Messages that are {causes(queue).join(", ")} are dropped: there is no dead-letter exchange.
        </p>
      </Section>
    );
  }
  return (
    <Section title="Dead letters">
      <p class="muted">Messages that are {causes(queue).join(", ")}:</p>
      <Drawn
        make={() => deadLetterPicture(queue)}
        again={JSON.stringify([queue.vhost, queue.name, dead, queue.arguments])}
        label={`Way of the dead letters of ${queue.name}`}
        none="They go nowhere."
      />
    </Section>
  );
}

function QueueBindings({ queue, may }: { queue: Queue; may: boolean }) {
  const at = `${path("queues", queue.vhost, queue.name)}/bindings`;
  const polled = usePoll<Binding[]>(at);
  if (!polled.data) return null;
  const form: Field[] = [
    { name: "source", label: "From exchange", required: true, means: /exchange/ },
    { name: "routing_key", label: "Routing key" },
    { name: "arguments", label: "Arguments", kind: "pairs", hint: "one name = value on each line", means: /arg|x-match/ },
  ];
  const bind = async (values: { [field: string]: string }) => {
    const body = { routing_key: values.routing_key, arguments: pairs("arguments", values.arguments ?? "") };
    await call("POST", path("bindings", queue.vhost, "e", values.source ?? "", "q", queue.name), body);
    polled.refresh();
  };
  const unbind = async (one: Binding) => {
    const lost = <p>Messages that came over this binding do not come any more.</p>;
    if (!(await confirmed(`Unbind from ${one.source}?`, lost, "Unbind"))) return;
    await call("DELETE", path("bindings", one.vhost, "e", one.source, "q", one.destination, one.properties_key));
    polled.refresh();
  };
  return (
    <Section title={<Counted label="Bindings" value={polled.data.length} />}>
      <UnbindContext.Provider value={may ? unbind : null}>
        <LongTable
          label="Bindings"
          columns={bindingColumns("source")}
          rows={polled.data}
          keyOf={(one) => `${one.source}\n${one.properties_key}`}
          none="No binding."
        />
      </UnbindContext.Provider>
      {may && (
        <Fold title="Bind to an exchange">
          <Form fields={form} verb="Bind" submit={bind} done="The queue was bound." />
        </Fold>
      )}
    </Section>
  );
}

function QueueFacts({ queue }: { queue: Queue }) {
  const policy = queue.policy ? <a href={link("policies", queue.vhost, queue.policy)}>{queue.policy}</a> : "none";
  return (
    <Section title="Facts">
      <Facts
        of={[
          ["Virtual host", <a href={link("vhosts", queue.vhost)}>{queue.vhost}</a>],
          ["Arguments", <Values of={queue.arguments} />],
          ["Policy", policy],
          ["Operator policy", queue.operator_policy ?? undefined],
          ["Effective definition", <Values of={fields(queue.effective_policy_definition)} />],
          ["Exclusive to", queue.owner_pid_details && <a href={link("connections", queue.owner_pid_details.name)}>{queue.owner_pid_details.name}</a>],
          ["Delivery limit", queue.delivery_limit],
          ["Oldest message", queue.first_timestamp ? date(queue.first_timestamp) : undefined],
          ["Idle", queue.idle_since ? ago(Date.parse(queue.idle_since)) : undefined],
        ]}
      />
    </Section>
  );
}

// --- streams

/** Sorted backwards by type, streams come first: the broker need not show the other queues. */
const STREAMS = "queues?page=1&page_size=500&sort=type&sort_reverse=true";

export function StreamsPage() {
  const polled = usePoll<Page<Queue>>(STREAMS);
  const columns: Column<Queue>[] = [
    nameColumn,
    ...useVhostColumn<Queue>(),
    { title: "Messages", number: true, cell: (one) => count(one.messages) },
    { title: "Segments", number: true, cell: (one) => count(one.segments) },
    { title: "Size", number: true, cell: (one) => bytes(one.memory) },
    { title: "Oldest", cell: (one) => date(one.first_timestamp), wide: true },
    { title: "Readers", number: true, cell: (one) => count(one.consumers) },
    { title: "In", number: true, cell: (one) => rate(rateOf(one.message_stats, "publish") ?? 0) },
    { title: "Retention", cell: (one) => retention(one), wide: true },
  ];
  if (!polled.data) return <Waiting polled={polled} />;
  const streams = polled.data.items.filter((one) => one.type === "stream").reverse();
  return (
    <>
      <Title>Streams</Title>
      <Table
        label="Streams"
        columns={columns}
        rows={streams}
        keyOf={(one) => `${one.vhost}\n${one.name}`}
        none="There is no stream. Declare a queue with type stream."
      />
    </>
  );
}

function retention(one: Queue): string {
  const policy = fields(one.effective_policy_definition);
  const age = one.arguments["x-max-age"] ?? policy["max-age"];
  const size = one.arguments["x-max-length-bytes"] ?? policy["max-length-bytes"];
  const found = [age && `age ${String(age)}`, size && bytes(Number(size))].filter(Boolean);
  return found.join(", ") || "everything is kept";
}
