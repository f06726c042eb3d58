// Charts over time, drawn by uPlot from the samples that the broker keeps.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { range, theme, useShared } from "./hooks";
import { brief, bytes, rate } from "./format";
import type { Counts, Sample } from "./types";

export interface Series {
  name: string;
  /** The count whose samples are drawn. */
  field: string;
  /** 1 to 4: a colour of the palette. */
  colour: number;
}

const STEP_S = 5;

/** The query for samples of these groups of numbers: `lengths`, `msg_rates`, `data_rates`, `node_stats`. */
export function useSamples(...groups: string[]): string {
  const age = useShared(range);
  return groups.map((group) => `${group}_age=${age}&${group}_incr=${STEP_S}`).join("&");
}

const HEIGHT = 168;

/** A chart of counts as they are, or with `perSecond` of their change. */
export function Chart({
  title,
  counts,
  series,
  perSecond,
  octets,
}: {
  title: string;
  counts: Counts | undefined;
  series: Series[];
  perSecond?: boolean;
  /** The counts are octets. */
  octets?: boolean;
}) {
  const format = octets ? (perSecond ? (value: number) => `${bytes(value)}/s` : bytes) : perSecond ? rate : brief;
  const present = series.filter((one) => samplesOf(counts, one.field).length > 0 || one === series[0]);
  // The first is drawn last: on top of the others.
  const drawn = [...present].reverse();
  const data = table(counts, drawn, perSecond === true);
  const latest = present.map((one) => latestOf(counts, one.field, perSecond === true));
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="legend">
          {present.map((one, index) => (
            <span key={one.field} class={`key c${one.colour}`}>
              {one.name} <b>{format(latest[index] ?? 0)}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <Plot data={data} series={drawn} format={format} label={`${title} over time`} octets={octets === true} />
    </figure>
  );
}

const SPARK_WIDTH = 64;
const SPARK_HEIGHT = 16;

/** A line of samples, newest first, without axes: whether a number rises or falls. */
export function Spark({ samples, label }: { samples: Sample[] | undefined; label: string }) {
  const values = (samples ?? []).map((one) => one.sample).reverse();
  const most = Math.max(...values, 0);
  if (values.length < 2 || most === 0) return <span class="zero">–</span>;
  const points = values.map((value, index) => {
    const x = (index / (values.length - 1)) * SPARK_WIDTH;
    return `${x.toFixed(1)},${(SPARK_HEIGHT - 1 - (value / most) * (SPARK_HEIGHT - 2)).toFixed(1)}`;
  });
  const text = `${label}: ${brief(values[0])} to ${brief(values.at(-1))}`;
  return (
    <svg class="spark" viewBox={`0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`} width={SPARK_WIDTH} height={SPARK_HEIGHT} role="img" aria-label={text}>
      <title>{text}</title>
      <polygon points={`0,${SPARK_HEIGHT} ${points.join(" ")} ${SPARK_WIDTH},${SPARK_HEIGHT}`} />
      <polyline points={points.join(" ")} />
    </svg>
  );
}

function samplesOf(counts: Counts | undefined, field: string): Sample[] {
  const details = counts?.[`${field}_details`];
  return typeof details === "object" ? (details.samples ?? []) : [];
}

function latestOf(counts: Counts | undefined, field: string, perSecond: boolean): number {
  const details = counts?.[`${field}_details`];
  if (perSecond) return typeof details === "object" ? details.rate : 0;
  const found = counts?.[field];
  return typeof found === "number" ? found : 0;
}

function table(counts: Counts | undefined, series: Series[], perSecond: boolean): uPlot.AlignedData {
  // The newest sample has the current count under an earlier time: a rate of it would be too high.
  const lists = series.map((one) => samplesOf(counts, one.field).slice(perSecond ? 1 : 0).reverse());
  const longest = lists.reduce((a, b) => (b.length > a.length ? b : a), [] as Sample[]);
  if (longest.length === 0) {  // nothing was counted yet: an empty time
    const now = Date.now() / 1000;
    const times = [now - Number(range.value), now];
    return [times, ...series.map(() => [0, 0])];
  }
  const skipped = perSecond ? 1 : 0;
  const times = longest.slice(skipped).map((one) => one.timestamp / 1000);
  const columns = lists.map((list) => {
    const at = new Map(list.map((one, index) => [one.timestamp, index]));
    return longest.slice(skipped).map((one) => {
      const index = at.get(one.timestamp);
      const here = index === undefined ? undefined : list[index];
      if (here === undefined) return null;
      if (!perSecond) return here.sample;
      const before = list[(index as number) - 1];
      if (before === undefined) return null;
      return Math.max(0, ((here.sample - before.sample) / (here.timestamp - before.timestamp)) * 1000);
    });
  });
  return [times, ...columns];
}

function Plot({
  data,
  series,
  format,
  label,
  octets,
}: {
  data: uPlot.AlignedData;
  series: Series[];
  format: (value: number) => string;
  label: string;
  octets: boolean;
}) {
  const at = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const scheme = useShared(theme);
  const shape = series.map((one) => one.field).join();

  useEffect(() => {
    const element = at.current;
    if (!element) return;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(element, series, format, octets), data, element);
    };
    make();
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", make);
    return () => {
      dark.removeEventListener("change", make);
      resized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, scheme]);

  useEffect(() => plot.current?.setData(data), [data]);
  return <div class="plot" ref={at} role="img" aria-label={label} />;
}

/** Distances between the lines of an axis of octets. */
const OCTET_STEPS = Array.from({ length: 44 }, (_, power) => 2 ** power);

function options(
  element: HTMLElement,
  series: Series[],
  format: (value: number) => string,
  octets: boolean,
): uPlot.Options {
  const style = getComputedStyle(element);
  const value = (name: string) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: value("--muted"),
    font: `11px ${value("--sans")}`,
    ticks: { show: false },
    grid: { stroke: value("--line"), width: 1 },
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: { y: { range: (_, __, most) => [0, niceTop(most)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 24, space: 70, values: (_, ticks) => ticks.map(tickTime) },
      { ...axis, size: 62, space: 32, ...(octets ? { incrs: OCTET_STEPS } : {}), values: (_, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [
      {},
      ...series.map((one, index) => ({
        label: one.name,
        stroke: value(`--c${one.colour}`),
        width: widthOf(series.length - 1 - index),
        ...(index === series.length - 1 ? { fill: `${value(`--c${one.colour}`)}${FILL_ALPHA}` } : {}),
        points: { show: false },
        spanGaps: true,
      })),
    ],
    hooks: { setCursor: [(plot) => hover(plot, series, format)] },
  };
}

/** How much of its colour the area below the first line has, in hexadecimal. */
const FILL_ALPHA = "16";

/** The width of a line by its place in the legend: those below others are wider, so that all are seen. */
const widthOf = (place: number) => [1.5, 2.25, 3, 1.5][place] ?? 1.5;

/** The top of the axis: room for the line, and never nothing. */
function niceTop(most: number | null): number {
  if (!most || most <= 0) return 4;
  const scale = 10 ** Math.floor(Math.log10(most));
  const steps = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * scale);
  return Math.max(steps.find((step) => step >= most * 1.02) ?? most * 1.1, 4);
}

function time(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** Seconds are only shown between full minutes. */
const tickTime = (seconds: number): string => (seconds % 60 === 0 ? time(seconds).slice(0, 5) : time(seconds));

/** Show the values under the cursor. */
function hover(plot: uPlot, series: Series[], format: (value: number) => string): void {
  let tip = plot.over.querySelector<HTMLDivElement>(".tip");
  if (!tip) {
    tip = document.createElement("div");
    tip.className = "tip";
    plot.over.append(tip);
  }
  const { idx, left } = plot.cursor;
  const at = idx === null || idx === undefined ? undefined : plot.data[0][idx];
  tip.hidden = at === undefined || left === undefined || left < 0;
  if (tip.hidden || at === undefined || left === undefined || idx === null || idx === undefined) return;
  tip.replaceChildren(
    ...[time(at), ...series.map((one, index) => `${one.name} ${format(plot.data[index + 1]?.[idx] ?? 0)}`).reverse()].map((text) => {
      const line = document.createElement("span");
      line.textContent = text;
      return line;
    }),
  );
  const right = left > plot.over.clientWidth / 2;
  tip.style.left = right ? "" : `${left + 10}px`;
  tip.style.right = right ? `${plot.over.clientWidth - left + 10}px` : "";
}
