// What views share: the route, polling, and settings of this browser.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError, get } from "./api";

// --- values that several parts of the page watch

/** A value with watchers. */
export class Shared<T> {
  private watchers = new Set<(value: T) => void>();
  constructor(public value: T) {}
  set(value: T): void {
    if (value === this.value) return;
    this.value = value;
    for (const watcher of this.watchers) watcher(value);
  }
  watch(watcher: (value: T) => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }
}

export function useShared<T>(shared: Shared<T>): T {
  const [value, setValue] = useState(shared.value);
  useEffect(() => {
    setValue(shared.value);
    return shared.watch(setValue);
  }, [shared]);
  return value;
}

/** A shared string that this browser remembers. */
function remembered(name: string, initial: string): Shared<string> {
  const shared = new Shared(localStorage.getItem(name) ?? initial);
  shared.watch((value) => localStorage.setItem(name, value));
  return shared;
}

export const theme = remembered("leveret.theme", "auto");
/** Milliseconds between two requests for the same data; 0: only on demand. */
export const interval = remembered("leveret.interval", "5000");
/** Seconds that charts show. */
export const range = remembered("leveret.range", "300");
/** The virtual host that lists show; empty: all. */
export const vhost = remembered("leveret.vhost", "");
export const reachable = new Shared(true);

const columnChoices = new Map<string, Shared<string>>();

/** Titles of the columns of a list that the user has switched, separated by lines: extra ones on, others off. */
export function columnsOf(list: string): Shared<string> {
  const found = columnChoices.get(list) ?? remembered(`leveret.columns.${list.toLowerCase()}`, "");
  columnChoices.set(list, found);
  return found;
}

// --- the route

export interface Route {
  /** Decoded segments of the hash: `#/queues/%2F/q` is ["queues", "/", "q"]. */
  at: string[];
  query: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const at = path.split("/").filter(Boolean).map(decode);
  return { at, query: new URLSearchParams(query) };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const changed = () => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

/** The address of a place in the page. */
export function link(...segments: (string | number)[]): string {
  return `#/${segments.map(encodeURIComponent).join("/")}`;
}

/** Change parameters of the current route, without a new place in the history; empty values are removed. */
export function setQuery(changes: Record<string, string>): void {
  const [path = "#/"] = location.hash.split("?");
  const query = parseRoute(location.hash).query;
  for (const [name, value] of Object.entries(changes)) {
    if (value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState(null, "", `${path || "#/"}${text ? `?${text}` : ""}`);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

// --- polling

export interface Polled<T> {
  data: T | undefined;
  error: ApiError | undefined;
  /** When the data came, ms since the epoch. */
  at: number;
  refresh: () => void;
}

/** How much longer than a request the pause after it is: the broker spends less than 1 % of its time on a page. */
const PAUSE_FACTOR = 100;
const RETRY_MS = 1500;

/** The fastest answer so far, ms: what the network takes. The rest of a request is the broker's work. */
let fastest = Infinity;

function pauseAfter(took: number, every: number): number {
  fastest = Math.min(fastest, took);
  return every && Math.max(every, (took - fastest) * PAUSE_FACTOR);
}

/**
 * Ask for `path` again and again while the tab is visible. Data of another path is dropped, unless `keep`.
 * `every`: ms; otherwise as the user has set.
 */
export function usePoll<T>(path: string | null, options: { every?: number; keep?: boolean } = {}): Polled<T> {
  const chosen = Number(useShared(interval));
  const every = chosen === 0 ? 0 : Math.max(chosen, options.every ?? 0);
  const [state, setState] = useState<{ path: string | null; data?: T; error?: ApiError; at: number }>({ path, at: 0 });
  const again = useRef<() => void>(() => {});

  useEffect(() => {
    if (path === null) return;
    let timer = 0;
    let running: AbortController | null = null;
    const ask = async () => {
      clearTimeout(timer);
      running?.abort();
      const mine = (running = new AbortController());
      const began = performance.now();
      let pause = every;
      try {
        const data = await get<T>(path, mine.signal);
        setState({ path, data, at: Date.now() });
        pause = pauseAfter(performance.now() - began, every);
      } catch (error) {
        if (mine.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        setState((old) => ({ ...(old.path === path ? old : { path, at: 0 }), error }));
        if (error.status === 0) pause = RETRY_MS;
      }
      if (pause && !document.hidden) timer = setTimeout(ask, pause);
    };
    const visible = () => {
      if (!document.hidden) void ask();
      else clearTimeout(timer);
    };
    again.current = () => void ask();
    document.addEventListener("visibilitychange", visible);
    void ask();
    return () => {
      clearTimeout(timer);
      running?.abort();
      document.removeEventListener("visibilitychange", visible);
    };
  }, [path, every]);

  const refresh = useCallback(() => again.current(), []);
  const current = state.path === path || (options.keep && state.data !== undefined);
  return {
    data: current ? state.data : undefined,
    error: state.path === path ? state.error : undefined,
    at: state.at,
    refresh,
  };
}
