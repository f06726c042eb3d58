// Pictures of who feeds whom: exchanges, queues and what is between them, in columns from left to right.
import type { JSX } from "preact";

export interface Node {
  id: string;
  kind: "exchange" | "queue" | "channel" | "missing";
  name: string;
  note?: string;
  href?: string;
  here?: boolean;
  column: number;
}

export interface Edge {
  from: string;
  to: string;
  label?: string;
  /** Only under a condition: a dead letter, or what has no other route. */
  dashed?: boolean;
}

const HEIGHT = 42;
const GAP = 16;
const MARGIN = 12;

/** The width of nodes and between them, and the characters that fit; smaller where there are many columns. */
interface Sizes {
  width: number;
  between: number;
  name: number;
  label: number;
}

const LARGE: Sizes = { width: 188, between: 148, name: 24, label: 20 };
const SMALL: Sizes = { width: 144, between: 104, name: 18, label: 14 };
const MOST_LARGE = 3;

interface Placed extends Node {
  x: number;
  y: number;
}

export function Graph({ nodes, edges, label }: { nodes: Node[]; edges: Edge[]; label: string }) {
  const sizes = new Set(nodes.map((node) => node.column)).size > MOST_LARGE ? SMALL : LARGE;
  const placed = place(nodes, edges, sizes);
  const joined = join(edges);
  const back = joined.some((edge) => isBack(placed, edge));
  const all = [...placed.values()];
  const width = Math.max(...all.map((node) => node.x + sizes.width)) + MARGIN;
  const height = Math.max(...all.map((node) => node.y + HEIGHT)) + MARGIN + (back ? 34 : 0);
  return (
    <div class="scroll graph" tabIndex={0} role="region" aria-label={label}>
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={label}>
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M0 0.8 L7.2 4 L0 7.2 z" class="arrow" />
          </marker>
        </defs>
        {joined.map((edge) => (
          <Line key={`${edge.from}\n${edge.to}\n${String(edge.dashed)}`} edge={edge} placed={placed} sizes={sizes} />
        ))}
        {all.map((node) => (
          <Box key={node.id} node={node} sizes={sizes} />
        ))}
      </svg>
    </div>
  );
}

/** Give nodes their places: each column is ordered by the middle of what feeds it. */
function place(nodes: Node[], edges: Edge[], { width, between }: Sizes): Map<string, Placed> {
  const found = new Map<string, Placed>();
  const columns = [...new Set(nodes.map((node) => node.column))].sort((a, b) => a - b);
  const most = Math.max(...columns.map((column) => nodes.filter((node) => node.column === column).length));
  const full = most * (HEIGHT + GAP) - GAP;
  columns.forEach((column, index) => {
    const here = nodes.filter((node) => node.column === column);
    const middle = (node: Node) => {
      const from = edges.filter((edge) => edge.to === node.id).map((edge) => found.get(edge.from)?.y);
      const known = from.filter((y): y is number => y !== undefined);
      return known.length ? known.reduce((sum, y) => sum + y, 0) / known.length : 0;
    };
    const ordered = here.map((node) => ({ node, at: middle(node) })).sort((a, b) => a.at - b.at || (a.node.name < b.node.name ? -1 : 1));
    const top = MARGIN + (full - (ordered.length * (HEIGHT + GAP) - GAP)) / 2;
    ordered.forEach(({ node }, row) => {
      found.set(node.id, { ...node, x: MARGIN + index * (width + between), y: top + row * (HEIGHT + GAP) });
    });
  });
  return found;
}

/** One edge for all between the same ends, with a label that names some of them. */
function join(edges: Edge[]): Edge[] {
  const found = new Map<string, { edge: Edge; labels: string[] }>();
  for (const edge of edges) {
    const key = `${edge.from}\n${edge.to}\n${String(edge.dashed)}`;
    const same = found.get(key) ?? { edge, labels: [] };
    if (edge.label) same.labels.push(edge.label);
    found.set(key, same);
  }
  return [...found.values()].map(({ edge, labels }) => {
    const label = labels.length > 2 ? `${labels.slice(0, 2).join(", ")} +${labels.length - 2}` : labels.join(", ");
    return { ...edge, label };
  });
}

function isBack(placed: Map<string, Placed>, edge: Edge): boolean {
  const from = placed.get(edge.from);
  const to = placed.get(edge.to);
  return from !== undefined && to !== undefined && to.x <= from.x;
}

function Line({ edge, placed, sizes }: { edge: Edge; placed: Map<string, Placed>; sizes: Sizes }): JSX.Element | null {
  const from = placed.get(edge.from);
  const to = placed.get(edge.to);
  if (!from || !to) return null;
  const { width } = sizes;
  const classes = edge.dashed ? "edge dashed" : "edge";
  let x: number;
  let y: number;
  let d: string;
  if (isBack(placed, edge)) {
    const low = Math.max(from.y, to.y) + HEIGHT + 26;
    d = `M${from.x + width / 2} ${from.y + HEIGHT} C${from.x + width / 2} ${low + 8}, ${to.x + width / 2} ${low + 8}, ${to.x + width / 2} ${to.y + HEIGHT + 1}`;
    x = (from.x + to.x + width) / 2;
    y = low - 4;
  } else {
    const [x1, y1, x2, y2] = [from.x + width, from.y + HEIGHT / 2, to.x - 1, to.y + HEIGHT / 2];
    const bend = Math.min(80, (x2 - x1) / 2);
    d = `M${x1} ${y1} C${x1 + bend} ${y1}, ${x2 - bend} ${y2}, ${x2} ${y2}`;
    x = x2 - 12;
    y = y2 - 6;
  }
  return (
    <g>
      <path class={classes} d={d} marker-end="url(#arrow)" />
      {edge.label && (
        <text class={isBack(placed, edge) ? "edge-label middle" : "edge-label"} x={x} y={y}>
          {cut(edge.label, sizes.label)}
          <title>{edge.label}</title>
        </text>
      )}
    </g>
  );
}

function Box({ node, sizes }: { node: Placed; sizes: Sizes }) {
  const inner = (
    <>
      {node.name.length > sizes.name && <title>{node.name}</title>}
      <rect x={node.x} y={node.y} width={sizes.width} height={HEIGHT} rx={node.kind === "exchange" ? HEIGHT / 2 : 5} />
      <text class="node-name" x={node.x + sizes.width / 2} y={node.y + (node.note ? 18 : 25)}>
        {cut(node.name, sizes.name)}
      </text>
      {node.note && (
        <text class="node-note" x={node.x + sizes.width / 2} y={node.y + 33}>
          {cut(node.note, sizes.name + 6)}
        </text>
      )}
    </>
  );
  const classes = `node ${node.kind} ${node.here ? "here" : ""}`;
  return node.href ? (
    <a href={node.href} class={classes}>
      {inner}
    </a>
  ) : (
    <g class={classes}>{inner}</g>
  );
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
