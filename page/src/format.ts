// Numbers, sizes and times as text.

const WHOLE = new Intl.NumberFormat("en-GB");
const ONE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const COMPACT = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

export const NONE = "–";

export function count(value: number | undefined | null): string {
  return value === undefined || value === null ? NONE : WHOLE.format(value);
}

/** A count in few characters: 1.2M. */
export function brief(value: number | undefined | null): string {
  if (value === undefined || value === null) return NONE;
  return Math.abs(value) < 10_000 ? ONE.format(value) : COMPACT.format(value);
}

/** A number per second. */
export function rate(value: number | undefined | null): string {
  if (value === undefined || value === null) return NONE;
  if (value === 0) return "0/s";
  return `${value < 10 ? ONE.format(Math.max(value, 0.1)) : brief(Math.round(value))}/s`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(value: number | undefined | null): string {
  if (value === undefined || value === null || value < 0) return NONE;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${ONE.format(value)} ${UNITS[unit]}`;
}

/** A span of milliseconds: 3 d 4 h. */
export function span(ms: number | undefined | null): string {
  if (ms === undefined || ms === null) return NONE;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 1) return `${Math.max(0, Math.round(ms))} ms`;
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function ago(at: number | undefined | null, now = Date.now()): string {
  return at ? `${span(now - at)} ago` : NONE;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const clock = (at: number): string => CLOCK.format(at);
export const date = (at: number | undefined | null): string => (at ? DAY.format(at) : NONE);

/** A name that is empty in the API. */
export const exchangeName = (name: string): string => name || "(default)";
