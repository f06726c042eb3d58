// Pictures of exchanges, queues and dead letters, from the bindings that the API lists.
import { useEffect, useState } from "preact/hooks";
import { ApiError, get, path, type Json } from "../api";
import { exchangeName } from "../format";
import { link } from "../hooks";
import { Graph, type Edge, type Node } from "../graph";
import { Empty, Wrong } from "../ui";
import { fields, type Binding, type Exchange, type Queue } from "../types";

/** Objects of a picture, at most; the rest is counted. */
const MOST_NODES = 60;
const DEPTH = 6;

export interface Picture {
  nodes: Map<string, Node>;
  edges: Edge[];
  left: number;
}

const exchangeId = (name: string) => `e ${name}`;
const queueId = (name: string) => `q ${name}`;

const linkOfExchange = (vhost: string, name: string) => link("exchanges", vhost, name || "amq.default");

function bindingLabel(one: Binding): string {
  const names = Object.keys(one.arguments);
  if (names.length > 0) return names.map((name) => `${name}=${String(one.arguments[name])}`).join(" ");
  return one.routing_key;
}

/** A picture that is made by several requests; it is made again when `key` changes. */
export function Drawn({ make, label, none, again }: { make: () => Promise<Picture>; label: string; none: string; again: string }) {
  const [picture, setPicture] = useState<Picture>();
  const [error, setError] = useState<ApiError>();
  useEffect(() => {
    let current = true;
    make().then(
      (made) => current && (setPicture(made), setError(undefined)),
      (wrong: unknown) => {
        if (!(wrong instanceof ApiError)) throw wrong;
        if (current) setError(wrong);
      },
    );
    return () => {
      current = false;
    };
  }, [again]);
  if (error) return <Wrong of={error} />;
  if (!picture) return <p class="waiting">Loading…</p>;
  if (picture.edges.length === 0) return <Empty>{none}</Empty>;
  return (
    <>
      <Graph nodes={[...picture.nodes.values()]} edges={picture.edges} label={label} />
      {picture.left > 0 && <p class="muted">{picture.left} more are not drawn.</p>}
    </>
  );
}

function start(): Picture {
  return { nodes: new Map(), edges: [], left: 0 };
}

/** Add a node unless it is there; false if there is no room. */
function add(picture: Picture, node: Node): boolean {
  if (picture.nodes.has(node.id)) return true;
  if (picture.nodes.size >= MOST_NODES) {
    picture.left += 1;
    return false;
  }
  picture.nodes.set(node.id, node);
  return true;
}

const exchangeNode = (vhost: string, name: string, column: number, more: Partial<Node> = {}): Node => ({
  id: exchangeId(name),
  kind: "exchange",
  name: exchangeName(name),
  href: linkOfExchange(vhost, name),
  column,
  ...more,
});

const queueNode = (vhost: string, name: string, column: number, more: Partial<Node> = {}): Node => ({
  id: queueId(name),
  kind: "queue",
  name,
  href: link("queues", vhost, name),
  column,
  ...more,
});

// --- one exchange, end to end

/** What feeds an exchange, over other exchanges, and where its messages go. */
export async function exchangePicture(vhost: string, exchange: Exchange): Promise<Picture> {
  const picture = start();
  add(picture, exchangeNode(vhost, exchange.name, 0, { note: exchange.type, here: true }));
  await downstream(picture, vhost, exchange.name, 0);
  await upstream(picture, vhost, exchange.name, 0);
  const alternate = exchange.arguments["alternate-exchange"];
  if (typeof alternate === "string") {
    const node = exchangeNode(vhost, alternate, 1, { note: "alternate exchange" });
    if (add(picture, node)) {
      picture.edges.push({ from: exchangeId(exchange.name), to: node.id, label: "not routed", dashed: true });
      await downstream(picture, vhost, alternate, 1);
    }
  }
  return picture;
}

async function downstream(picture: Picture, vhost: string, name: string, column: number): Promise<void> {
  if (column >= DEPTH) return;
  const found = await get<Binding[]>(`${path("exchanges", vhost, name || "amq.default")}/bindings/source`);
  const next: string[] = [];
  for (const one of found) {
    const node =
      one.destination_type === "queue"
        ? queueNode(vhost, one.destination, column + 1)
        : exchangeNode(vhost, one.destination, column + 1);
    const known = picture.nodes.has(node.id);
    if (!add(picture, node)) continue;
    picture.edges.push({ from: exchangeId(name), to: node.id, label: bindingLabel(one) });
    if (!known && one.destination_type === "exchange") next.push(one.destination);
  }
  for (const one of next) await downstream(picture, vhost, one, column + 1);
}

async function upstream(picture: Picture, vhost: string, name: string, column: number): Promise<void> {
  if (column <= -DEPTH || name === "") return;
  const found = await get<Binding[]>(`${path("exchanges", vhost, name)}/bindings/destination`);
  const next: string[] = [];
  for (const one of found) {
    const node = exchangeNode(vhost, one.source, column - 1);
    const known = picture.nodes.has(node.id);
    if (!add(picture, node)) continue;
    const edge = { from: node.id, to: exchangeId(name), label: bindingLabel(one) };
    if (!picture.edges.some((other) => other.from === edge.from && other.to === edge.to && other.label === edge.label)) {
      picture.edges.push(edge);
    }
    if (!known) next.push(one.source);
  }
  for (const one of next) await upstream(picture, vhost, one, column - 1);
}

// --- a virtual host

/** All exchanges with bindings, and their queues. The default exchange is left out: it leads to every queue. */
export async function vhostPicture(vhost: string): Promise<Picture> {
  const picture = start();
  const all = await get<Binding[]>(path("bindings", vhost));
  const bindings = all.filter((one) => one.source !== "");
  const columns = columnsOf(bindings);
  for (const one of bindings) {
    const to = one.destination_type === "queue" ? queueId(one.destination) : exchangeId(one.destination);
    const from = exchangeId(one.source);
    const target =
      one.destination_type === "queue"
        ? queueNode(vhost, one.destination, columns.get(to) ?? 1)
        : exchangeNode(vhost, one.destination, columns.get(to) ?? 1);
    if (!add(picture, exchangeNode(vhost, one.source, columns.get(from) ?? 0)) || !add(picture, target)) continue;
    picture.edges.push({ from, to, label: bindingLabel(one) });
  }
  return picture;
}

/** The longest way to each object; queues are in the last column of their sources. */
function columnsOf(bindings: Binding[]): Map<string, number> {
  const columns = new Map<string, number>();
  for (let round = 0; round < DEPTH; round += 1) {
    let changed = false;
    for (const one of bindings) {
      const from = columns.get(exchangeId(one.source)) ?? 0;
      const to = one.destination_type === "queue" ? queueId(one.destination) : exchangeId(one.destination);
      if ((columns.get(to) ?? 0) < from + 1 && from + 1 <= DEPTH) {
        columns.set(to, from + 1);
        changed = true;
      }
    }
    if (!changed) break;
  }
  return columns;
}

// --- dead letters

export interface DeadLetter {
  exchange: string;
  key: string | undefined;
}

/** Where the dead letters of a queue go, by its arguments and policies; null if they are dropped. */
export function deadLetter(queue: Queue): DeadLetter | null {
  const policy = fields(queue.effective_policy_definition);
  const exchange = text(queue.arguments["x-dead-letter-exchange"]) ?? text(policy["dead-letter-exchange"]);
  if (exchange === undefined) return null;
  return { exchange, key: text(queue.arguments["x-dead-letter-routing-key"]) ?? text(policy["dead-letter-routing-key"]) };
}

const text = (value: Json | undefined) => (typeof value === "string" ? value : undefined);

/** Why messages of a queue become dead letters. */
export function causes(queue: Queue): string[] {
  const policy = fields(queue.effective_policy_definition);
  const setting = (name: string) => queue.arguments[`x-${name}`] ?? policy[name];
  const found = ["rejected"];
  const ttl = setting("message-ttl");
  if (ttl !== undefined) found.push(`older than ${String(ttl)} ms`);
  const length = setting("max-length") ?? setting("max-length-bytes");
  if (length !== undefined) found.push("above the length limit");
  if (queue.type === "quorum" && queue.delivery_limit !== undefined && queue.delivery_limit !== "unlimited") {
    found.push(`returned more than ${String(queue.delivery_limit)} times`);
  }
  return found;
}

/** The way of the dead letters of a queue: its exchange, the queues behind it, and their dead letters in turn. */
export async function deadLetterPicture(queue: Queue): Promise<Picture> {
  const picture = start();
  add(picture, queueNode(queue.vhost, queue.name, 0, { here: true }));
  await followDead(picture, queue, 0);
  return picture;
}

async function followDead(picture: Picture, queue: Queue, column: number): Promise<void> {
  const dead = deadLetter(queue);
  if (dead === null || column >= DEPTH) return;
  const exchange = await found<Exchange>(path("exchanges", queue.vhost, dead.exchange || "amq.default"));
  const node: Node = exchange
    ? exchangeNode(queue.vhost, dead.exchange, column + 1, { note: exchange.type })
    : { id: exchangeId(dead.exchange), kind: "missing", name: dead.exchange, note: "does not exist", column: column + 1 };
  const known = picture.nodes.has(node.id);
  if (!add(picture, node)) return;
  picture.edges.push({ from: queueId(queue.name), to: node.id, label: dead.key ?? "own key", dashed: true });
  if (!exchange) return;
  for (const [name, label] of await behind(queue, dead, exchange)) {
    const next = await found<Queue>(path("queues", queue.vhost, name));
    const seen = picture.nodes.has(queueId(name));
    const target: Node = next
      ? queueNode(queue.vhost, name, column + 2)
      : { id: queueId(name), kind: "missing", name, note: "does not exist", column: column + 2 };
    if (!add(picture, target)) continue;
    picture.edges.push({ from: node.id, to: target.id, label });
    if (next && !seen && !known) await followDead(picture, next, column + 2);
  }
}

/** The queues that may get dead letters, with the routing key of their bindings. Keys of other exchanges than direct
 * ones are not compared: any of their queues may. */
async function behind(queue: Queue, dead: DeadLetter, exchange: Exchange): Promise<[string, string][]> {
  if (dead.exchange === "") return dead.key === undefined ? [] : [[dead.key, ""]];
  const bindings = await get<Binding[]>(`${path("exchanges", queue.vhost, dead.exchange)}/bindings/source`);
  return bindings
    .filter((one) => one.destination_type === "queue")
    .filter((one) => exchange.type !== "direct" || dead.key === undefined || one.routing_key === dead.key)
    .map((one) => [one.destination, bindingLabel(one)]);
}

async function found<T>(at: string): Promise<T | null> {
  try {
    return await get<T>(at);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
