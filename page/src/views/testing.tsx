// What only a broker for tests has: the clock, faults, the lives of messages.
import { useState } from "preact/hooks";
import { ApiError, call, enc, path, type Json } from "../api";
import { count, exchangeName, span } from "../format";
import { link, setQuery, usePoll, useRoute } from "../hooks";
import { Act, Empty, Facts, FieldError, Fold, Form, pairs, say, sayError, Section, Table, Tag, Title, Waiting } from "../ui";

const moment = (at: string) => at.replace("T", " ").replace(/(\.\d{3})\d*/, "$1").replace("+00:00", "");

// --- the clock

interface Due {
  at: string;
  what: string;
  queue: string | null;
}

interface Clock {
  now: string;
  frozen: boolean;
  rate: number;
  held: number;
  hold_eta: boolean;
  skipping: boolean;
  heartbeats: string;
  due: Due[];
}

interface Reason {
  kind: string;
  text: string;
}

interface Moves {
  now: string;
  steps: number;
  settled: number;
  kept: Reason[];
}

const CLOCK_MS = 2000;
const STEPS: [string, number][] = [
  ["1 s", 1],
  ["10 s", 10],
  ["1 min", 60],
  ["1 h", 3600],
  ["1 day", 86_400],
];

export function ClockPage() {
  const polled = usePoll<Clock>("leveret/clock", { every: CLOCK_MS });
  const [kept, setKept] = useState<Reason[]>([]);
  const clock = polled.data;
  if (!clock) return <Waiting polled={polled} />;
  const done = (moves: Moves | null) => {
    if (moves) {
      setKept(moves.kept);
      say(`It is ${moment(moves.now)}: ${count(moves.steps)} moments were due.`);
    }
    polled.refresh();
  };
  const move = (at: string, body: object) => call<Moves>("POST", `leveret/clock/${at}`, body).then(done);
  return (
    <>
      <Title
        kind="Clock of messages"
        tags={
          <>
            {clock.frozen ? <Tag kind="warn">frozen</Tag> : <Tag kind="good">{clock.rate === 1 ? "runs" : `runs ×${clock.rate}`}</Tag>}
            {clock.skipping && <Tag>skips to what is due</Tag>} {clock.held > 0 && <Tag kind="warn">held {clock.held}×</Tag>}
          </>
        }
        actions={
          clock.frozen ? (
            <Act label="Resume" run={() => call("POST", "leveret/clock/resume", {}).then(() => done(null))} />
          ) : (
            <Act label="Freeze" run={() => call("POST", "leveret/clock/freeze", {}).then(() => done(null))} />
          )
        }
      >
        {moment(clock.now)}
      </Title>
      <Section title="Advance">
        <div class="actions">
          {STEPS.map(([label, by]) => (
            <Act key={label} label={label} run={() => move("advance", { by })} />
          ))}
          <Act label="Until nothing is due" run={() => move("run-until-idle", {})} />
        </div>
        <Fold title="By another duration">
          <Form
            fields={[{ name: "by", label: "Seconds", kind: "number", required: true }]}
            verb="Advance"
            submit={(values) => move("advance", { by: seconds("by", values.by ?? "") })}
          />
        </Fold>
        {kept.length > 0 && <Reasons of={kept} title="What was still under way" />}
      </Section>
      <Section title="What is due next">
        <Table
          label="What is due next"
          rows={clock.due.slice(0, 100)}
          keyOf={(one) => `${one.at} ${one.what} ${one.queue}`}
          none="Nothing is due."
          columns={[
            { title: "What", cell: (one) => one.what },
            { title: "At", cell: (one) => moment(one.at) },
            { title: "In", cell: (one) => span(Date.parse(one.at) - Date.parse(clock.now)) },
            { title: "Queue", cell: (one) => one.queue },
            { title: "", cell: (one) => <Act label="Move there" small run={() => move("move", { to: one.at })} /> },
          ]}
        />
      </Section>
      <Idle />
      <Fold title="How the clock runs">
        <Form
          key={JSON.stringify([clock.skipping, clock.hold_eta, clock.heartbeats])}
          fields={[
            { name: "skipping", label: "Skip to what is due", kind: "check", initial: clock.skipping ? "true" : "" },
            { name: "hold_eta", label: "Hold tasks until their ETA", kind: "check", initial: clock.hold_eta ? "true" : "" },
            { name: "heartbeats", label: "Heartbeats", kind: "select", options: ["real", "virtual"], initial: clock.heartbeats },
          ]}
          verb="Change"
          submit={async (values) => {
            const body = { skipping: values.skipping === "true", hold_eta: values.hold_eta === "true", heartbeats: values.heartbeats };
            await call("PUT", "leveret/clock", body);
            polled.refresh();
          }}
          keep
        />
      </Fold>
    </>
  );
}

function seconds(field: string, text: string): number {
  const found = Number(text);
  if (text.trim() === "" || Number.isNaN(found)) throw new FieldError(field, "A number of seconds is needed.");
  return found;
}

function Reasons({ of, title }: { of: Reason[]; title: string }) {
  return (
    <div class="problems some">
      <h2>{title}</h2>
      <ul>
        {of.map((one) => (
          <li key={one.text} class="warn">
            {one.text}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** What `wait_idle` would wait for. */
function Idle() {
  const [reasons, setReasons] = useState<Reason[]>();
  const ask = async () => {
    try {
      await call("POST", "leveret/wait", { for: "idle", timeout: 0.05 });
      setReasons([]);
    } catch (error) {
      const body = error instanceof ApiError ? (error.body as { reasons?: Reason[] } | null) : null;
      if (body?.reasons) setReasons(body.reasons);
      else sayError(error);
    }
  };
  return (
    <Section title="Is the broker idle?" actions={<button type="button" onClick={() => void ask()}>Ask</button>}>
      {reasons === undefined ? (
        <p class="muted">What a test that waits for the broker would still wait for.</p>
      ) : reasons.length === 0 ? (
        <p>
          <Tag kind="good">It is idle</Tag>
        </p>
      ) : (
        <Reasons of={reasons} title="Not yet" />
      )}
    </Section>
  );
}

// --- faults

interface Fault {
  id: string;
  described: string;
  hits: number;
  armed: boolean;
}

const EVENTS = ["", "connect", "*", "basic.publish", "basic.ack", "basic.consume", "queue.declare", "confirms", "deliveries"];
const EFFECTS = ["close_channel", "close_connection", "reset", "delay", "drop", "nack", "hold", "latency", "timeout", "bandwidth", "slicer", "limit_data"];

export function FaultsPage() {
  const polled = usePoll<Fault[]>("leveret/faults", { every: CLOCK_MS });
  if (!polled.data) return <Waiting polled={polled} />;
  const remove = async (one: Fault) => {
    await call("DELETE", path("leveret", "faults", one.id));
    polled.refresh();
  };
  return (
    <>
      <Title
        actions={
          polled.data.length > 0 && (
            <Act label="Remove all" run={() => call("DELETE", "leveret/faults").then(polled.refresh)} done="All faults were removed." />
          )
        }
      >
        Faults
      </Title>
      <Table
        label="Faults"
        rows={polled.data}
        keyOf={(one) => one.id}
        none="No fault is armed."
        columns={[
          { title: "Fault", cell: (one) => one.described },
          { title: "Hits", number: true, cell: (one) => count(one.hits) },
          { title: "State", cell: (one) => (one.armed ? <Tag kind="warn">armed</Tag> : <span class="muted">used up</span>) },
          { title: "", cell: (one) => <Act label="Remove" small run={() => remove(one)} /> },
        ]}
      />
      <Fold title="Arm a fault" open={polled.data.length === 0}>
        <Form
          fields={[
            { name: "on", label: "When", options: EVENTS, hint: "a method of clients, connect, confirms or deliveries; empty: the network" },
            { name: "do", label: "Then", options: EFFECTS, required: true, means: /'do'|verb|does not|unknown/ },
            { name: "more", label: "More", kind: "pairs", options: ["queue", "exchange", "routing_key", "connection", "user", "vhost", "nth", "times", "chance", "when", "seconds", "code", "text"], hint: "one name = value on each line", means: /./ },
          ]}
          verb="Arm fault"
          submit={async (values) => {
            const more: { [name: string]: Json } = pairs("more", values.more ?? "");
            await call("POST", "leveret/faults", { ...(values.on ? { on: values.on } : {}), do: values.do, ...more });
            polled.refresh();
          }}
          done="The fault is armed."
          keep
        />
      </Fold>
    </>
  );
}

// --- history

type Body = string | { base64: string };

interface Life {
  id: number;
  at: string;
  vhost: string;
  exchange: string;
  routing_key: string;
  queues: string[];
  connection: string | null;
  user: string | null;
  body: Body;
  outcome: { [queue: string]: string };
  confirmed: string | null;
  nearest: string | null;
}

interface Happened {
  kind: string;
  at: string;
  queue: string | null;
  connection: string | null;
  channel: number | null;
  consumer: string | null;
  tag: number | null;
  reason: string | null;
}

const SHOWN = 200;
const textOf = (body: Body) => (typeof body === "string" ? body : body.base64);

export function HistoryPage() {
  const { query } = useRoute();
  const lost = query.get("view") === "unroutable";
  const filters = ["exchange", "routing_key", "queue", "outcome"].filter((name) => query.get(name));
  const parameters = filters.map((name) => `${name}=${enc(query.get(name) ?? "")}`).join("&");
  const polled = usePoll<Life[]>(lost ? "leveret/unroutable" : `leveret/history?${parameters}`, { keep: true });
  return (
    <>
      <Title
        actions={
          <>
            <div class="switch" role="group" aria-label="Messages">
              <button type="button" aria-pressed={!lost} onClick={() => setQuery({ view: "" })}>
                All
              </button>
              <button type="button" aria-pressed={lost} onClick={() => setQuery({ view: "unroutable" })}>
                Unroutable
              </button>
            </div>
            <Act label="Forget" lost={<p>What was published so far is forgotten. The messages stay where they are.</p>} run={() => call("DELETE", "leveret/history").then(polled.refresh)} />
          </>
        }
      >
        History
      </Title>
      {!lost && (
        <div class="bar">
          <form class="filter" role="search" onSubmit={(event) => event.preventDefault()}>
            {["exchange", "routing_key", "queue"].map((name) => (
              <input
                key={name}
                type="search"
                aria-label={`Filter by ${name.replace("_", " ")}`}
                placeholder={name.replace("_", " ")}
                value={query.get(name) ?? ""}
                onChange={(event) => setQuery({ [name]: event.currentTarget.value })}
              />
            ))}
          </form>
        </div>
      )}
      {polled.data ? <Lives of={polled.data} lost={lost} /> : <Waiting polled={polled} />}
    </>
  );
}

function Lives({ of, lost }: { of: Life[]; lost: boolean }) {
  return (
    <>
      <Table
        label="Messages"
        rows={of.slice(-SHOWN).reverse()}
        keyOf={(one) => String(one.id)}
        none={lost ? "Every message reached a queue." : "Nothing was published."}
        columns={[
          { title: "Message", cell: (one) => <a href={link("history", one.id)}>{textOf(one.body).slice(0, 60) || "(empty)"}</a> },
          { title: "At", cell: (one) => moment(one.at), wide: true },
          { title: "Exchange", cell: (one) => exchangeName(one.exchange) },
          { title: "Key", cell: (one) => <code>{one.routing_key}</code> },
          lost
            ? { title: "Nearest binding", cell: (one: Life) => one.nearest ?? "none" }
            : { title: "What became of it", cell: (one: Life) => <Outcome of={one} /> },
        ]}
      />
      {of.length > SHOWN && <p class="muted">The last {SHOWN} of {count(of.length)}.</p>}
    </>
  );
}

const ENDS: { [outcome: string]: string } = { acked: "good", unroutable: "bad", dropped: "bad", rejected: "bad", "dead-lettered": "warn", expired: "warn" };

function Outcome({ of }: { of: Life }) {
  return (
    <>
      {Object.entries(of.outcome).map(([queue, outcome]) => (
        <div key={queue}>
          {queue} <Tag kind={ENDS[outcome] ?? ""}>{outcome}</Tag>
        </div>
      ))}
    </>
  );
}

/** The life of one message as a timeline. */
export function LifePage({ id }: { id: string }) {
  const polled = usePoll<{ message: Life; events: Happened[]; story: string }>(path("leveret", "history", id));
  if (!polled.data) return <Waiting polled={polled} />;
  const { message, events } = polled.data;
  const began = Date.parse(message.at);
  return (
    <>
      <Title kind="Message" tags={<Outcome of={message} />}>
        {exchangeName(message.exchange)} · {message.routing_key || "(empty key)"}
      </Title>
      <pre class="payload" tabIndex={0}>
        {textOf(message.body)}
      </pre>
      <Section title="Life">
        {events.length === 0 ? (
          <Empty>Nothing happened to it.</Empty>
        ) : (
          <ol class="timeline">
            {events.map((one, index) => (
              <li key={index}>
                <time title={one.at}>+{span(Date.parse(one.at) - began)}</time>
                <b>{one.kind.replaceAll("_", " ")}</b>{" "}
                {one.queue && <a href={link("queues", message.vhost, one.queue)}>{one.queue}</a>}
                {one.consumer && <span class="muted"> consumer {one.consumer}</span>}
                {one.tag !== null && <span class="muted"> tag {one.tag}</span>}
                {one.connection && <span class="muted"> by {one.connection}</span>}
                {one.reason && <span> {one.reason}</span>}
              </li>
            ))}
          </ol>
        )}
      </Section>
      <Section title="Facts">
        <Facts
          of={[
            ["Published", moment(message.at)],
            ["By", [message.user, message.connection].filter(Boolean).join(", ")],
            ["Virtual host", message.vhost],
            ["Queues", message.queues.join(", ") || "none"],
            ["Confirmed", message.confirmed ?? "no"],
            ["Nearest binding", message.nearest ?? undefined],
          ]}
        />
      </Section>
    </>
  );
}
