// Messages: shown one by one, looked at, got, and published.
import { useEffect, useState } from "preact/hooks";
import { call, enc, get, path, type Json } from "../api";
import { ago, bytes, count, date, exchangeName, span } from "../format";
import { link } from "../hooks";
import { Act, Empty, Fold, Form, pairs, sayError, Tag, Values, whole, FieldError, confirmed, type Field } from "../ui";
import { fields, type Holder, type Message, type Queue } from "../types";

const LOOK_AT = 20;
const MOST = 500;

// --- one message

/** A message in one line, with its properties and payload folded. */
export function MessageView({ message, number, open }: { message: Message; number: number; open: boolean }) {
  const properties = fields(message.properties);
  const { headers, ...rest } = properties;
  const deaths = fields(headers as { [name: string]: Json } | undefined)["x-death"];
  return (
    <li>
      <details class="message" open={open}>
        <summary>
        <span class="message-number">{count(message.position ?? number)}</span>
        <code>{exchangeName(message.exchange)}</code>
        <span class="muted">key</span> <code>{message.routing_key || "(empty)"}</code>
        <span class="muted">{bytes(message.payload_bytes)}</span>
        {message.redelivered && <Tag kind="warn">redelivered</Tag>}
        {message.timestamp ? <span class="muted">{date(message.timestamp)}</span> : null}
        {message.expires_at ? <span class="muted">expires in {span(message.expires_at - Date.now())}</span> : null}
        {message.delivered_at ? <span class="muted">delivered {ago(message.delivered_at)}</span> : null}
        {rest.content_type ? <span class="muted">{String(rest.content_type)}</span> : null}
          <span class="preview">{preview(message)}</span>
        </summary>
      <Payload message={message} />
      {(Object.keys(rest).length > 0 || headers) && (
        <div class="properties">
          <Values of={shownProperties(rest)} none="" />
          {headers && typeof headers === "object" ? <Values of={withoutDeaths(fields(headers as { [name: string]: Json }))} none="" /> : null}
        </div>
      )}
      {Array.isArray(deaths) && <Deaths deaths={deaths} />}
      </details>
    </li>
  );
}

const PREVIEW_CHARACTERS = 200;

const preview = (message: Message) => message.payload.slice(0, PREVIEW_CHARACTERS).replaceAll(/\s+/g, " ");

function shownProperties(properties: { [name: string]: Json }): { [name: string]: Json } {
  const { timestamp, delivery_mode, ...rest } = properties;
  return {
    ...(delivery_mode === 2 ? { delivery_mode: "2 (persistent)" } : delivery_mode ? { delivery_mode } : {}),
    ...(typeof timestamp === "number" ? { timestamp: date(timestamp * 1000) } : {}),
    ...rest,
  };
}

function withoutDeaths(headers: { [name: string]: Json }): { [name: string]: Json } {
  const { "x-death": _, ...rest } = headers;
  return rest;
}

/** The death history, oldest first. */
function Deaths({ deaths }: { deaths: Json[] }) {
  return (
    <ol class="deaths" aria-label="Death history">
      {[...deaths].reverse().map((one, index) => {
        const death = fields(one as { [name: string]: Json });
        return (
          <li key={index}>
            <b>{String(death.queue)}</b> {String(death.reason)}
            {Number(death.count) > 1 && <span class="muted"> ×{String(death.count)}</span>}
          </li>
        );
      })}
    </ol>
  );
}

function Payload({ message }: { message: Message }) {
  const [raw, setRaw] = useState(false);
  const pretty = message.payload_encoding === "string" ? prettyJson(message.payload) : null;
  const shown = message.payload.length === message.payload_bytes || message.payload_encoding !== "string";
  return (
    <>
      <pre class="payload" tabIndex={0}>
        {message.payload === "" ? <span class="muted">(empty)</span> : pretty !== null && !raw ? pretty : message.payload}
      </pre>
      <p class="below">
        {message.payload_encoding === "base64" && <span class="muted">base64</span>}
        {pretty !== null && pretty !== message.payload && (
          <button type="button" class="plain" onClick={() => setRaw(!raw)}>
            {raw ? "Formatted" : "As sent"}
          </button>
        )}
        {!shown && message.payload.length >= 50_000 && <span class="muted">cut after 50,000 octets</span>}
      </p>
    </>
  );
}

function prettyJson(text: string): string | null {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}

function Messages({ of, none }: { of: Message[]; none: string }) {
  if (of.length === 0) return <Empty>{none}</Empty>;
  return (
    <ol class="messages">
      {of.map((one, index) => (
        <MessageView key={`${one.position ?? index} ${one.delivery_tag ?? ""}`} message={one} number={index + 1} open={index === 0} />
      ))}
    </ol>
  );
}

// --- messages of a queue

const ENCODING = "auto";

export function Look({ queue }: { queue: Queue }) {
  const [found, setFound] = useState<Message[]>();
  const [number, setNumber] = useState(LOOK_AT);
  const [busy, setBusy] = useState(false);
  const [offset, setOffset] = useState("");
  const stream = queue.type === "stream";
  const look = async (most: number) => {
    setNumber(most);
    setBusy(true);
    try {
      const from = stream && offset !== "" ? `&offset=${enc(offset)}` : "";
      setFound(await get<Message[]>(`leveret/${path("queues", queue.vhost, queue.name)}/messages?count=${most}${from}`));
    } catch (error) {
      sayError(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <div class="bar">
        <button type="button" class="primary" disabled={busy} onClick={() => void look(LOOK_AT)}>
          {found ? "Look again" : "Look at messages"}
        </button>
        {stream && (
          <label class="check">
            From offset
            <input inputMode="numeric" class="page-number" placeholder="last" value={offset} onInput={(event) => setOffset(event.currentTarget.value)} />
          </label>
        )}
        <span class="muted">They stay where they are: nothing is delivered, requeued or counted.</span>
      </div>
      {found && <Messages of={found} none="No message is ready." />}
      {found && found.length === number && number < MOST && (
        <button type="button" disabled={busy} onClick={() => void look(Math.min(MOST, number * 5))}>
          Show more
        </button>
      )}
    </>
  );
}

export function Held({ queue }: { queue: Queue }) {
  const [found, setFound] = useState<Holder[]>();
  const look = async () => {
    try {
      setFound(await get<Holder[]>(`leveret/${path("queues", queue.vhost, queue.name)}/unacked`));
    } catch (error) {
      sayError(error);
    }
  };
  return (
    <>
      <div class="bar">
        <button type="button" class="primary" onClick={() => void look()}>
          {found ? "Look again" : "Show who holds messages"}
        </button>
        <span class="muted">Messages that were delivered and are not acknowledged, by channel.</span>
      </div>
      {found?.length === 0 && <Empty>Nobody holds a message.</Empty>}
      {found?.map((holder) => (
        <Fold
          key={holder.channel_details.name}
          title={`${holder.channel_details.name}: ${count(holder.messages_unacknowledged)}`}
          open={found.length === 1}
        >
          <p>
            User {holder.channel_details.user}, <a href={link("channels", holder.channel_details.name)}>channel</a>
            {oldest(holder)}
          </p>
          <Messages of={holder.messages} none="" />
        </Fold>
      ))}
    </>
  );
}

function oldest(holder: Holder): string {
  const at = holder.messages[0]?.delivered_at;
  return at ? `; the oldest for ${span(Date.now() - at)}` : "";
}

const MODES: [string, string][] = [
  ["ack_requeue_true", "put back (they count as redelivered)"],
  ["ack_requeue_false", "remove"],
  ["reject_requeue_true", "reject, put back"],
  ["reject_requeue_false", "reject: dead-letter or remove"],
];

export function Get({ queue }: { queue: Queue }) {
  const [found, setFound] = useState<Message[]>();
  const labels = MODES.map(([, label]) => label);
  const fieldsOfForm: Field[] = [
    { name: "count", label: "Messages", kind: "number", initial: "1", means: /not_integer|not_positive/ },
    { name: "ackmode", label: "Then", kind: "select", options: labels, initial: labels[0] ?? "" },
  ];
  const submit = async (values: { [field: string]: string }) => {
    const mode = MODES.find(([, label]) => label === values.ackmode)?.[0] ?? "ack_requeue_true";
    const number = whole("count", values.count ?? "");
    if (mode.endsWith("false")) {
      const lost = <p>{count(number)} messages are taken out of the queue.</p>;
      if (!(await confirmed("Get messages and remove them?", lost, "Get and remove"))) return;
    }
    const body = { count: number, ackmode: mode, encoding: ENCODING, truncate: 50_000 };
    setFound(await call<Message[]>("POST", `${path("queues", queue.vhost, queue.name)}/get`, body));
  };
  return (
    <>
      <Form fields={fieldsOfForm} verb="Get messages" submit={submit} keep />
      {found && <Messages of={found} none="The queue is empty." />}
    </>
  );
}

const MOVED_AT_ONCE = 1000;

interface Moved {
  moved: number;
  messages_ready: number;
  refused: boolean;
}

export function Move({ queue }: { queue: Queue }) {
  const [names, setNames] = useState<string[]>([]);
  const [progress, setProgress] = useState("");
  useEffect(() => {
    const some = `${path("queues", queue.vhost)}?columns=name&page=1&page_size=100&name=`;
    get<{ items: { name: string }[] }>(some).then(
      (found) => setNames(found.items.map((one) => one.name).filter((name) => name !== queue.name)),
      () => setNames([]),
    );
  }, [queue.vhost, queue.name]);
  const submit = async (values: { [field: string]: string }) => {
    const wanted = values.count === "" ? Infinity : whole("count", values.count ?? "");
    if (wanted < 1) throw new FieldError("count", "At least one.");
    let done = 0;
    while (done < wanted) {
      const body = { destination: values.destination, count: Math.min(MOVED_AT_ONCE, wanted - done) };
      const answer = await call<Moved>("POST", `leveret/${path("queues", queue.vhost, queue.name)}/move`, body);
      done += answer.moved;
      setProgress(`${count(done)} moved, ${count(answer.messages_ready)} left`);
      if (answer.refused) throw new FieldError("destination", `The queue is full: ${count(done)} were moved.`);
      if (answer.moved === 0) break;
    }
  };
  const form: Field[] = [
    { name: "destination", label: "To queue", options: names, required: true, means: /queue/ },
    { name: "count", label: "Messages", kind: "number", hint: "empty: all" },
  ];
  return (
    <>
      <Form fields={form} verb="Move messages" submit={submit} keep />
      <p role="status" class="muted">
        {progress}
      </p>
    </>
  );
}

// --- publish

/** `to`: the routing key, if it is given. */
export function Publish({ vhost, exchange, to }: { vhost: string; exchange: string; to?: string }) {
  const form: Field[] = [
    ...(to === undefined ? [{ name: "routing_key", label: "Routing key" }] : []),
    { name: "payload", label: "Payload", kind: "area", means: /payload|base64/ },
    { name: "payload_encoding", label: "Encoding", kind: "select", options: ["string", "base64"], initial: "string" },
    { name: "persistent", label: "Persistent", kind: "check" },
    { name: "properties", label: "Properties", kind: "pairs", options: ["content_type", "expiration", "priority", "correlation_id", "reply_to", "message_id"], hint: "one name = value on each line", means: /properties|not_int\b|not_string|content_properties/ },
    { name: "headers", label: "Headers", kind: "pairs", hint: "one name = value on each line; values are JSON or text" },
  ];
  const submit = async (values: { [field: string]: string }) => {
    const headers = pairs("headers", values.headers ?? "");
    const properties = pairs("properties", values.properties ?? "");
    for (const name of ["expiration", "correlation_id", "message_id"]) {
      if (typeof properties[name] === "number") properties[name] = String(properties[name]);
    }
    const body = {
      routing_key: to ?? values.routing_key,
      payload: values.payload,
      payload_encoding: values.payload_encoding,
      properties: {
        ...(values.persistent ? { delivery_mode: 2 } : {}),
        ...properties,
        ...(Object.keys(headers).length ? { headers } : {}),
      },
    };
    const at = `${path("exchanges", vhost, exchange || "amq.default")}/publish`;
    const { routed } = await call<{ routed: boolean }>("POST", at, body);
    if (!routed) throw new FieldError(to === undefined ? "routing_key" : "payload", "Not routed: no queue gets this message.");
  };
  return <Form fields={form} verb="Publish" submit={submit} done="The message was published and routed." keep />;
}

export function Purge({ queue, refresh }: { queue: Queue; refresh: () => void }) {
  const purge = async () => {
    await call("DELETE", `${path("queues", queue.vhost, queue.name)}/contents`);
    refresh();
  };
  return (
    <Act
      label="Purge"
      title={`Purge ${queue.name}?`}
      danger
      lost={<p>{count(queue.messages_ready)} ready messages are lost. Unacknowledged ones stay with their consumers.</p>}
      run={purge}
      done="The queue was purged."
    />
  );
}
