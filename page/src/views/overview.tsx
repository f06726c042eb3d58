import { path } from "../api";
import { bytes, brief, clock, count, date, span } from "../format";
import { link, usePoll } from "../hooks";
import { Chart, useSamples } from "../chart";
import { Facts, Figure, LocalTable, Section, Tag, Title, Waiting } from "../ui";
import { useTagged } from "../session";
import { countOf, rateOf, type Counts, type NodeInfo, type Overview, type Problem } from "../types";

export function OverviewPage() {
  const samples = useSamples("lengths", "msg_rates");
  const nodeSamples = useSamples("node_stats");
  const monitors = useTagged("monitoring");
  const polled = usePoll<Overview>(`overview?${samples}`);
  const nodes = usePoll<NodeInfo[]>(monitors ? `nodes?${nodeSamples}` : null);
  const found = polled.data;
  if (!found) return <Waiting polled={polled} />;
  const totals = found.object_totals;
  const node = nodes.data?.[0];
  return (
    <>
      <Title>Overview</Title>
      <Problems stats={found.message_stats} />
      <div class="figures">
        <Figure name="Ready" value={brief(countOf(found.queue_totals, "messages_ready") ?? 0)} note="messages" />
        <Figure name="Unacked" value={brief(countOf(found.queue_totals, "messages_unacknowledged") ?? 0)} note="messages" />
        <Figure name="Connections" value={count(totals.connections)} href={link("connections")} />
        <Figure name="Channels" value={count(totals.channels)} href={link("channels")} />
        <Figure name="Queues" value={count(totals.queues)} href={link("queues")} />
        <Figure name="Exchanges" value={count(totals.exchanges)} href={link("exchanges")} />
        {totals.consumers !== undefined && <Figure name="Consumers" value={count(totals.consumers)} />}
      </div>
      <div class="charts">
        <Chart
          title="Queued messages"
          counts={found.queue_totals}
          series={[
            { name: "Ready", field: "messages_ready", colour: 1 },
            { name: "Unacked", field: "messages_unacknowledged", colour: 2 },
          ]}
        />
        <Chart
          title="Message rates"
          counts={found.message_stats}
          perSecond
          series={[
            { name: "Publish", field: "publish", colour: 1 },
            { name: "Deliver", field: "deliver_get", colour: 2 },
            { name: "Acknowledge", field: "ack", colour: 3 },
            { name: "Redeliver", field: "redeliver", colour: 4 },
          ]}
        />
        {node && (
          <>
            <Chart
              title="Memory of the process"
              counts={node as unknown as Counts}
              octets
              series={[{ name: "Used", field: "mem_used", colour: 2 }]}
            />
            <Chart
              title="Churn"
              counts={found.churn_rates}
              perSecond
              series={[
                { name: "Connections opened", field: "connection_created", colour: 1 },
                { name: "Channels opened", field: "channel_created", colour: 2 },
                { name: "Queues declared", field: "queue_declared", colour: 3 },
              ]}
            />
          </>
        )}
      </div>
      {node && <NodeSection node={node} />}
      {found.listeners && (
        <Section title="Listeners">
          <LocalTable
            label="Listeners"
            rows={found.listeners}
            keyOf={(one) => `${one.protocol} ${one.ip_address} ${one.port}`}
            columns={[
              { title: "Protocol", cell: (one) => one.protocol },
              { title: "Address", cell: (one) => <code>{one.ip_address}</code> },
              { title: "Port", cell: (one) => <code>{one.port}</code> },
            ]}
          />
        </Section>
      )}
    </>
  );
}

// --- what is wrong now

const PROBLEMS_MS = 10_000;

interface Shown {
  text: string;
  more?: preact.ComponentChildren;
  kind: "bad" | "warn";
}

function Problems({ stats }: { stats: Counts }) {
  const { data, at } = usePoll<Problem[]>("leveret/problems", { every: PROBLEMS_MS });
  if (!data) return <section class="problems" aria-label="What is wrong now" />;
  const shown = [...data.map(problemText), ...unroutable(stats)];
  return (
    <section class={shown.length ? "problems some" : "problems"} aria-label="What is wrong now">
      {shown.length === 0 ? (
        <p>
          <Tag kind="good">Nothing is wrong</Tag> <span class="muted">checked at {clock(at)}</span>
        </p>
      ) : (
        <>
          <h2>What is wrong now</h2>
          <ul>
            {shown.map((one) => (
              <li key={one.text} class={one.kind}>
                <span>{one.text}</span> {one.more}
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

const plural = (number: number, one: string, many: string) => `${count(number)} ${number === 1 ? one : many}`;

function problemText({ problem, count: number, objects }: Problem): Shown {
  const queues = (
    <span class="objects">
      {objects.map((one) => (
        <a key={`${one.vhost} ${one.name}`} href={link("queues", one.vhost ?? "/", one.name)}>
          {one.name}
          {one.messages_ready ? <span class="counted">{brief(one.messages_ready)}</span> : null}
        </a>
      ))}
      {number > objects.length && <a href="#/queues?sort=messages_ready&sort_reverse=true">{count(number - objects.length)} more</a>}
    </span>
  );
  switch (problem) {
    case "alarm": {
      const what = objects[0]?.name === "disk" ? "Little disk space is left" : "Memory is above its limit";
      return { kind: "bad", text: `${what}: connections that publish are blocked.` };
    }
    case "connection_blocked":
      return {
        kind: "bad",
        text: `${plural(number, "connection is", "connections are")} blocked.`,
        more: <a href="#/connections?sort=state">Connections</a>,
      };
    case "queue_crashed":
      return { kind: "bad", text: `${plural(number, "queue has", "queues have")} crashed.`, more: queues };
    case "queue_without_consumers":
      return {
        kind: "warn",
        text: `${plural(number, "queue holds", "queues hold")} messages that nobody consumes.`,
        more: queues,
      };
    case "queue_stuck":
      return {
        kind: "warn",
        text: `${plural(number, "queue is", "queues are")} stuck: all consumers hold as many messages as they may.`,
        more: queues,
      };
    case "internal_errors":
      return { kind: "bad", text: `${plural(number, "internal error", "internal errors")} since the start.`, more: <a href="#/log">Log</a> };
    case "refused_by_newer_version":
      return {
        kind: "warn",
        text: `${plural(number, "declaration", "declarations")} that a newer RabbitMQ refuses.`,
        more: <a href="#/lint">Lint</a>,
      };
    default:
      return { kind: "warn", text: `${problem}: ${count(number)}` };
  }
}

function unroutable(stats: Counts): Shown[] {
  const rate = (rateOf(stats, "drop_unroutable") ?? 0) + (rateOf(stats, "return_unroutable") ?? 0);
  if (rate <= 0) return [];
  return [{ kind: "warn", text: "Messages are published that no queue gets: their exchange has no matching binding." }];
}

// --- the node

function NodeSection({ node }: { node: NodeInfo }) {
  return (
    <Section title="Node" actions={<a href={link("nodes", node.name)}>Details</a>}>
      <div class="meters">
        <Meter name="Memory" used={node.mem_used} of={node.mem_limit} show={bytes} alarm={node.mem_alarm} />
        <Meter name="File descriptors" used={node.fd_used} of={node.fd_total} show={count} />
        <div class="meter">
          <span class="name">Disk free</span>
          <span class="value">
            {bytes(node.disk_free)} <span class="muted">limit {bytes(node.disk_free_limit)}</span>{" "}
            {node.disk_free_alarm && <Tag kind="bad">alarm</Tag>}
          </span>
        </div>
        <div class="meter">
          <span class="name">Uptime</span>
          <span class="value">{span(node.uptime)}</span>
        </div>
      </div>
    </Section>
  );
}

function Meter({
  name,
  used,
  of,
  show,
  alarm,
}: {
  name: string;
  used: number;
  of: number;
  show: (value: number) => string;
  alarm?: boolean;
}) {
  return (
    <div class="meter">
      <span class="name">{name}</span>
      <span class="value">
        {show(used)} <span class="muted">of {show(of)}</span> {alarm && <Tag kind="bad">alarm</Tag>}
      </span>
      <meter aria-label={name} min={0} max={of} high={of * 0.8} optimum={0} value={Math.min(used, of)} />
    </div>
  );
}

export function NodePage({ name }: { name: string }) {
  const nodeSamples = useSamples("node_stats");
  const polled = usePoll<NodeInfo>(`${path("nodes", name)}?${nodeSamples}`);
  const node = polled.data;
  if (!node) return <Waiting polled={polled} />;
  const counts = node as unknown as Counts;
  return (
    <>
      <Title kind="Node">{node.name}</Title>
      <div class="charts">
        <Chart title="Memory" counts={counts} octets series={[{ name: "Used", field: "mem_used", colour: 1 }]} />
        <Chart
          title="Sockets and descriptors"
          counts={counts}
          series={[
            { name: "Sockets", field: "sockets_used", colour: 1 },
            { name: "Descriptors", field: "fd_used", colour: 2 },
          ]}
        />
      </div>
      <Section title="Facts">
        <Facts
          of={[
            ["Uptime", span(node.uptime)],
            ["Process", node.os_pid],
            ["Memory limit", bytes(node.mem_limit)],
            ["Disk free", `${bytes(node.disk_free)}, limit ${bytes(node.disk_free_limit)}`],
            ["Data directory", node.db_dir ? <code>{node.db_dir}</code> : "none: nothing survives a restart"],
            ["Configuration", node.config_files?.length ? node.config_files.map((one) => <code>{one}</code>) : "no file"],
            ["Plugins", node.enabled_plugins?.join(", ") || "none"],
            ["Started", date(Date.now() - node.uptime)],
          ]}
        />
      </Section>
    </>
  );
}
