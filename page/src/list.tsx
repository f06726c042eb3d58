// Lists that the broker sorts, filters and cuts into pages. Page, order and filter are in the address.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { columnsOf, setQuery, usePoll, useRoute, useShared, vhost } from "./hooks";
import { count } from "./format";
import { Table, Waiting, Wrong, type Column } from "./ui";
import type { Page } from "./types";

const PAGE_SIZE = 100;
const TYPING_MS = 250;

export function List<T>({
  of,
  label,
  columns,
  keyOf,
  byVhost,
  more,
  actions,
  none,
}: {
  /** The path of the list below /api. */
  of: string;
  label: string;
  columns: Column<T>[];
  keyOf: (row: T) => string;
  /** There is a list for each virtual host, too, with this path instead. */
  byVhost?: (vhost: string) => string;
  /** Further parameters. */
  more?: string;
  /** What can be done with chosen rows; without it, none can be chosen. `done`: to be called afterwards. */
  actions?: (chosen: T[], done: () => void) => ComponentChildren;
  none: ComponentChildren;
}) {
  const { query } = useRoute();
  const chosen = useShared(vhost);
  const base = byVhost && chosen !== "" ? byVhost(chosen) : of;
  const number = query.get("page") ?? "1";
  const name = query.get("name") ?? "";
  const regex = query.get("use_regex") === "true";
  const sort = query.get("sort") ?? "";
  const reverse = query.get("sort_reverse") === "true";
  const parameters = new URLSearchParams({
    page: number,
    page_size: String(PAGE_SIZE),
    name,
    use_regex: String(regex),
    ...(sort ? { sort, sort_reverse: String(reverse) } : {}),
  });
  const [selected, setChosen] = useState<ReadonlyMap<string, T>>(new Map());
  const shown = useColumns(label, columns);
  const polled = usePoll<Page<T>>(`${base}?${parameters.toString()}${more ? `&${more}` : ""}`, { keep: true });
  const found = polled.data;
  // A page behind the end, because objects are gone: the first one.
  useEffect(() => {
    if (polled.error?.status === 400 && number !== "1") setQuery({ page: "" });
  }, [polled.error, number]);
  const onSort = (by: string) =>
    setQuery({ sort: by, sort_reverse: sort === by ? String(!reverse) : String(startsReversed(columns, by)), page: "" });
  const choose = (rows: readonly T[], wanted: boolean) =>
    setChosen((old) => {
      const next = new Map(old);
      for (const row of rows) {
        if (wanted) next.set(keyOf(row), row);
        else next.delete(keyOf(row));
      }
      return next;
    });
  const done = () => {
    setChosen(new Map());
    polled.refresh();
  };
  return (
    <>
      <div class="bar">
        <Filter name={name} regex={regex} label={label} />
        <div class="bar-end">
          {found && <Pages found={found} />}
          <ColumnChoice label={label} columns={columns} />
        </div>
      </div>
      {actions && selected.size > 0 && (
        <div class="chosen-bar" role="group" aria-label="Chosen rows">
          <span role="status">{count(selected.size)} chosen</span>
          {actions([...selected.values()], done)}
          <button type="button" class="plain" onClick={() => setChosen(new Map())}>
            Choose none
          </button>
        </div>
      )}
      <Wrong of={polled.error} />
      {found === undefined ? (
        <Waiting polled={polled} />
      ) : (
        <Table
          label={label}
          columns={shown}
          rows={found.items}
          keyOf={keyOf}
          {...(actions ? { selection: { chosen: selected, choose } } : {})}
          sorted={{ by: sort || "name", reverse }}
          onSort={onSort}
          none={name ? `No name matches “${name}”.` : none}
        />
      )}
    </>
  );
}

/** The columns that the user wants to see: all but the extra ones, unless chosen otherwise. */
function useColumns<T>(label: string, columns: Column<T>[]): Column<T>[] {
  const switched = useShared(columnsOf(label)).split("\n");
  return columns.filter((column) => (column.extra === true) === switched.includes(column.title));
}

function ColumnChoice<T>({ label, columns }: { label: string; columns: Column<T>[] }) {
  const choice = columnsOf(label);
  const switched = useShared(choice).split("\n").filter(Boolean);
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event) => {
      const inside = event.target instanceof Node && menu.current?.contains(event.target);
      if (menu.current && (!inside || (event instanceof KeyboardEvent && event.key === "Escape"))) menu.current.open = false;
    };
    addEventListener("pointerdown", close);
    addEventListener("keydown", close);
    return () => {
      removeEventListener("pointerdown", close);
      removeEventListener("keydown", close);
    };
  }, []);
  const toggle = (title: string) =>
    choice.set((switched.includes(title) ? switched.filter((one) => one !== title) : [...switched, title]).join("\n"));
  return (
    <details class="columns" ref={menu}>
      <summary>Columns</summary>
      <ul>
        {columns.slice(1).filter((column) => column.title !== "").map((column) => (
          <li key={column.title}>
            <label class="check">
              <input
                type="checkbox"
                checked={(column.extra === true) === switched.includes(column.title)}
                onChange={() => toggle(column.title)}
              />
              {column.title}
            </label>
          </li>
        ))}
      </ul>
    </details>
  );
}

/** Numbers are sorted the largest first. */
function startsReversed<T>(columns: Column<T>[], by: string): boolean {
  return columns.some((column) => column.sort === by && column.number === true);
}

function Filter({ name, regex, label }: { name: string; regex: boolean; label: string }) {
  const [text, setText] = useState(name);
  const timer = useRef(0);
  useEffect(() => setText(name), [name]);
  const typed = (value: string) => {
    setText(value);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setQuery({ name: value, page: "" }), TYPING_MS);
  };
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const slash = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      field.current?.select();
    };
    addEventListener("keydown", slash);
    return () => removeEventListener("keydown", slash);
  }, []);
  return (
    <form class="filter" role="search" onSubmit={(event) => event.preventDefault()}>
      <input
        ref={field}
        type="search"
        aria-label={`Filter ${label} by name`}
        aria-keyshortcuts="/"
        placeholder="Filter by name ( / )"
        value={text}
        spellcheck={false}
        onInput={(event) => typed(event.currentTarget.value)}
      />
      <label class="check">
        <input
          type="checkbox"
          checked={regex}
          onChange={(event) => setQuery({ use_regex: event.currentTarget.checked ? "true" : "", page: "" })}
        />
        Regex
      </label>
    </form>
  );
}

function Pages<T>({ found }: { found: Page<T> }) {
  const first = (found.page - 1) * PAGE_SIZE + 1;
  const last = first + found.items.length - 1;
  const go = (page: number) => setQuery({ page: page === 1 ? "" : String(page) });
  const filtered = found.filtered_count !== found.total_count;
  return (
    <div class="pages">
      <span class="range" role="status">
        {found.items.length > 0 && found.page_count > 1 ? `${count(first)}–${count(last)} of ` : ""}
        {count(found.filtered_count)}
        {filtered ? ` (all: ${count(found.total_count)})` : ""}
      </span>
      {found.page_count > 1 && (
        <nav aria-label="Pages">
          <button type="button" disabled={found.page <= 1} onClick={() => go(1)} aria-label="First page">
            «
          </button>
          <button type="button" disabled={found.page <= 1} onClick={() => go(found.page - 1)} aria-label="Previous page">
            ‹
          </button>
          <label>
            <span class="hidden">Page</span>
            <input
              class="page-number"
              inputMode="numeric"
              value={String(found.page)}
              onChange={(event) => {
                const wanted = Number(event.currentTarget.value);
                if (wanted >= 1 && wanted <= found.page_count) go(Math.floor(wanted));
                else event.currentTarget.value = String(found.page);
              }}
            />
          </label>
          <span>of {count(found.page_count)}</span>
          <button
            type="button"
            disabled={found.page >= found.page_count}
            onClick={() => go(found.page + 1)}
            aria-label="Next page"
          >
            ›
          </button>
          <button
            type="button"
            disabled={found.page >= found.page_count}
            onClick={() => go(found.page_count)}
            aria-label="Last page"
          >
            »
          </button>
        </nav>
      )}
    </div>
  );
}
