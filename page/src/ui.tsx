// Parts that all views are made of: tables, forms, dialogs, messages to the user.
import { Component, type ComponentChildren } from "preact";
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, type Json } from "./api";
import { Shared, useShared, type Polled } from "./hooks";
import { count, NONE } from "./format";

// --- short texts

/** A short state with its meaning as a colour: "good", "warn", "bad" or none. */
export function Tag({ kind = "", children, title }: { kind?: string; children: ComponentChildren; title?: string }) {
  return (
    <span class={`tag ${kind}`} title={title}>
      {children}
    </span>
  );
}

export function State({ value }: { value: string | undefined }) {
  if (!value || value === "running") return <span class="muted">{value ?? NONE}</span>;
  return <Tag kind={value === "flow" || value === "idle" ? "warn" : "bad"}>{value}</Tag>;
}

/** The features of an object in letters, each with its meaning. */
export function Features({ of }: { of: [boolean | undefined, string, string][] }) {
  return (
    <span class="features">
      {of
        .filter(([present]) => present)
        .map(([, short, long]) => (
          <abbr key={short} title={long}>
            {short}
          </abbr>
        ))}
    </span>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function Wrong({ of }: { of: ApiError | undefined }) {
  return of ? (
    <p class="wrong" role="alert">
      {of.reason}
    </p>
  ) : null;
}

/** What is shown until the first answer. */
export function Waiting({ polled }: { polled: Polled<unknown> }) {
  if (polled.error) return <Wrong of={polled.error} />;
  return <p class="waiting">Loading…</p>;
}

// --- sections

export function Section({
  title,
  children,
  actions,
  level = 2,
}: {
  title: ComponentChildren;
  children: ComponentChildren;
  actions?: ComponentChildren;
  level?: 2 | 3;
}) {
  const Heading = `h${level}` as "h2";
  return (
    <section class="section">
      <header>
        <Heading>{title}</Heading>
        <div class="actions">{actions}</div>
      </header>
      {children}
    </section>
  );
}

/** A part that is folded until it is wanted. */
export function Fold({ title, open, children }: { title: string; open?: boolean; children: ComponentChildren }) {
  return (
    <details class="fold" open={open}>
      <summary>{title}</summary>
      <div class="folded">{children}</div>
    </details>
  );
}

/** The heading of a view. `name`: of the object, if it can be copied. */
export function Title({
  kind,
  name,
  children,
  tags,
  actions,
}: {
  kind?: string;
  name?: string;
  children: ComponentChildren;
  tags?: ComponentChildren;
  actions?: ComponentChildren;
}) {
  return (
    <header class="title">
      <div>
        {kind && <p class="kind">{kind}</p>}
        <h1>
          {children} {name && <Copy text={name} />}
        </h1>
        {tags && <p class="tags">{tags}</p>}
      </div>
      <div class="actions">{actions}</div>
    </header>
  );
}

/** A button that copies a name. Browsers let pages do that only over https, and on localhost. */
function Copy({ text }: { text: string }) {
  if (!window.isSecureContext) return null;
  const copy = () => navigator.clipboard.writeText(text).then(
      () => say("The name was copied."),
      () => say("The browser does not let the page copy.", "bad"),
    );
  return (
    <button type="button" class="plain copy" aria-label={`Copy the name ${text}`} title="Copy the name" onClick={() => void copy()}>
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
        <path d="M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z" />
      </svg>
    </button>
  );
}

export function Facts({ of }: { of: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {of
        .filter(([, value]) => value !== undefined && value !== null && value !== false)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

export function Figure({
  name,
  value,
  note,
  href,
}: {
  name: string;
  value: ComponentChildren;
  note?: ComponentChildren;
  href?: string;
}) {
  const inner = (
    <>
      <span class="name">{name}</span>
      <span class="value">{value}</span>
      {note && <span class="note">{note}</span>}
    </>
  );
  return href ? (
    <a class="figure" href={href}>
      {inner}
    </a>
  ) : (
    <div class="figure">{inner}</div>
  );
}

/** Arguments, headers, definitions: names and JSON values. */
export function Values({ of, none = "none" }: { of: { [name: string]: Json }; none?: string }) {
  const names = Object.keys(of);
  if (names.length === 0) return <span class="muted">{none}</span>;
  return (
    <ul class="values">
      {names.map((name) => (
        <li key={name}>
          <code>{name}</code> <span class="json">{jsonText(of[name] ?? null)}</span>
        </li>
      ))}
    </ul>
  );
}

export function jsonText(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

// --- tables

export interface Column<T> {
  title: string;
  cell: (row: T) => ComponentChildren;
  /** The field by which the column is sorted; none if it cannot be. */
  sort?: string;
  /** For tables that are sorted in the browser. */
  value?: (row: T) => string | number | undefined;
  number?: boolean;
  /** Hidden on a narrow screen. */
  wide?: boolean;
  /** Shown only if the user chooses it. */
  extra?: boolean;
}

export interface Sorted {
  by: string;
  reverse: boolean;
}

/** Rows that the user has chosen, by key; they stay chosen on other pages. */
export interface Selection<T> {
  chosen: ReadonlyMap<string, T>;
  choose: (rows: readonly T[], chosen: boolean) => void;
}

export function Table<T>({
  label,
  columns,
  rows,
  keyOf,
  sorted,
  onSort,
  selection,
  none = "Nothing here.",
}: {
  label: string;
  columns: Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  sorted?: Sorted;
  onSort?: (by: string) => void;
  selection?: Selection<T>;
  none?: ComponentChildren;
}) {
  if (rows.length === 0) return <Empty>{none}</Empty>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {selection && (
              <th scope="col" class="select">
                <Choose label="Choose all of this page" rows={rows} selection={selection} keyOf={keyOf} />
              </th>
            )}
            {columns.map((column) => (
              <Head key={column.title} column={column} sorted={sorted} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)} class={selection?.chosen.has(keyOf(row)) ? "chosen" : undefined}>
              {selection && (
                <td class="select">
                  <Choose label={`Choose ${keyOf(row).split("\n").at(-1)}`} rows={[row]} selection={selection} keyOf={keyOf} />
                </td>
              )}
              {columns.map((column, index) => {
                const cell = column.cell(row);
                const classes = classesOf(column, cell);
                return index === 0 ? (
                  <th key={column.title} scope="row" class={classes}>
                    {cell}
                  </th>
                ) : (
                  <td key={column.title} class={classes}>
                    {cell}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Choose<T>({
  label,
  rows,
  selection,
  keyOf,
}: {
  label: string;
  rows: readonly T[];
  selection: Selection<T>;
  keyOf: (row: T) => string;
}) {
  const box = useRef<HTMLInputElement>(null);
  const many = rows.filter((row) => selection.chosen.has(keyOf(row))).length;
  const all = rows.length > 0 && many === rows.length;
  useEffect(() => {
    if (box.current) box.current.indeterminate = many > 0 && !all;
  }, [many, all]);
  return (
    <input
      ref={box}
      type="checkbox"
      aria-label={label}
      checked={all}
      onChange={(event) => selection.choose(rows, event.currentTarget.checked)}
    />
  );
}

/** What is nothing is shown weaker, so that the eye finds what is something. */
const NOTHING = new Set<unknown>(["0", "0/s", "0 B/s", NONE]);

function classesOf<T>(column: Column<T>, cell?: unknown): string | undefined {
  const classes = [column.number && "number", column.wide && "wide", column.title === "" && "last", NOTHING.has(cell) && "zero"];
  return classes.filter(Boolean).join(" ") || undefined;
}

function Head<T>({
  column,
  sorted,
  onSort,
}: {
  column: Column<T>;
  sorted: Sorted | undefined;
  onSort: ((by: string) => void) | undefined;
}) {
  const classes = classesOf(column);
  const { sort } = column;
  if (sort === undefined || onSort === undefined) {
    return (
      <th scope="col" class={classes}>
        {column.title || <span class="hidden">Actions</span>}
      </th>
    );
  }
  const active = sorted?.by === sort;
  return (
    <th scope="col" class={classes} aria-sort={active ? (sorted.reverse ? "descending" : "ascending") : "none"}>
      <button type="button" class={active ? "sort active" : "sort"} onClick={() => onSort(sort)}>
        {column.title}
        <span aria-hidden="true">{active ? (sorted.reverse ? " ↓" : " ↑") : ""}</span>
      </button>
    </th>
  );
}

/** A table of rows that are all here, sorted in the browser. */
export function LocalTable<T>({
  columns,
  rows,
  initial,
  ...rest
}: {
  label: string;
  columns: Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  initial?: Sorted;
  none?: ComponentChildren;
}) {
  const [sorted, setSorted] = useState<Sorted>(initial ?? { by: "", reverse: false });
  const shown = useMemo(() => {
    const column = columns.find((one) => one.sort === sorted.by);
    if (!column?.value) return rows;
    const value = column.value;
    const ordered = [...rows].sort((a, b) => compare(value(a), value(b)));
    return sorted.reverse ? ordered.reverse() : ordered;
  }, [rows, sorted, columns]);
  const onSort = (by: string) => setSorted({ by, reverse: sorted.by === by && !sorted.reverse });
  return <Table {...rest} columns={columns} rows={shown} sorted={sorted} onSort={onSort} />;
}

/** Rows of a table that are drawn at once, and from which number on they can be filtered. */
const MOST_ROWS = 200;
const FILTERED_FROM = 20;

/** A table of rows that can be many: with a filter, and only so many drawn. */
export function LongTable<T>(props: {
  label: string;
  columns: Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  none?: ComponentChildren;
}) {
  const { rows, label } = props;
  const [text, setText] = useState("");
  const found = useMemo(() => {
    const wanted = text.toLowerCase();
    return wanted === "" ? rows : rows.filter((row) => JSON.stringify(row).toLowerCase().includes(wanted));
  }, [rows, text]);
  if (rows.length < FILTERED_FROM) return <Table {...props} />;
  return (
    <>
      <div class="bar">
        <input
          type="search"
          aria-label={`Filter ${label.toLowerCase()}`}
          placeholder="Filter"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <span class="range" role="status">
          {found.length > MOST_ROWS ? `${count(MOST_ROWS)} of ` : ""}
          {count(found.length)}
        </span>
      </div>
      <Table {...props} rows={found.slice(0, MOST_ROWS)} none={`Nothing contains “${text}”.`} />
    </>
  );
}

function compare(a: string | number | undefined, b: string | number | undefined): number {
  if (a === b) return 0;
  if (a === undefined) return -1;
  if (b === undefined) return 1;
  return typeof a === "string" && typeof b === "string" ? a.localeCompare(b) : a < b ? -1 : 1;
}

// --- messages to the user

interface Note {
  text: string;
  kind: "good" | "bad";
}

const notes = new Shared<Note | null>(null);

/** Say what was done, or why it was not. */
export function say(text: string, kind: Note["kind"] = "good"): void {
  notes.set({ text, kind });
}

export function sayError(error: unknown): void {
  if (error instanceof ApiError) say(error.reason, "bad");
  else throw error;
}

export function Notes() {
  const note = useShared(notes);
  useEffect(() => {
    if (note?.kind !== "good") return;
    const timer = setTimeout(() => notes.set(null), 6000);
    return () => clearTimeout(timer);
  }, [note]);
  return (
    <div class="notes" role="status" aria-live="polite">
      {note && (
        <p class={note.kind}>
          {note.text}
          <button type="button" class="plain" aria-label="Dismiss" onClick={() => notes.set(null)}>
            ×
          </button>
        </p>
      )}
    </div>
  );
}

// --- confirmation

interface Question {
  title: string;
  lost: ComponentChildren;
  verb: string;
  answer: (yes: boolean) => void;
}

const question = new Shared<Question | null>(null);

/** Ask before something is lost. */
export function confirmed(title: string, lost: ComponentChildren, verb: string): Promise<boolean> {
  return new Promise((answer) => question.set({ title, lost, verb, answer }));
}

export function Confirmation() {
  const asked = useShared(question);
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (asked) ref.current?.showModal();
  }, [asked]);
  const close = (yes: boolean) => {
    asked?.answer(yes);
    ref.current?.close();
    question.set(null);
  };
  return (
    <dialog ref={ref} aria-labelledby="question" onCancel={() => close(false)}>
      {asked && (
        <>
          <h2 id="question">{asked.title}</h2>
          <div class="lost">{asked.lost}</div>
          <div class="buttons">
            <button type="button" onClick={() => close(false)}>
              Cancel
            </button>
            <button type="button" class="danger" onClick={() => close(true)}>
              {asked.verb}
            </button>
          </div>
        </>
      )}
    </dialog>
  );
}

/** A button that asks, does something over the API, and says what came of it. */
export function Act({
  label,
  title,
  lost,
  run,
  done,
  danger,
  small,
}: {
  label: string;
  title?: string;
  lost?: ComponentChildren;
  run: () => Promise<unknown>;
  done?: string | ((result: unknown) => string);
  danger?: boolean;
  small?: boolean;
}) {
  const [busy, setBusy] = useState(false);
  const act = async () => {
    if (lost !== undefined && !(await confirmed(title ?? `${label}?`, lost, label))) return;
    setBusy(true);
    try {
      const result = await run();
      if (done) say(typeof done === "string" ? done : done(result));
    } catch (error) {
      sayError(error);
    } finally {
      setBusy(false);
    }
  };
  const classes = `${danger ? "danger" : ""} ${small ? "small" : ""}`.trim();
  return (
    <button type="button" class={classes || undefined} disabled={busy} onClick={() => void act()}>
      {label}
    </button>
  );
}

// --- forms

/** The values of a form, by field. */
export type FormValues = { [field: string]: string };

export interface Field {
  name: string;
  label: string;
  kind?: "text" | "password" | "number" | "select" | "check" | "area" | "pairs" | "file";
  initial?: string;
  options?: string[];
  hint?: ComponentChildren;
  /** Words of the API's reason that mean this field, beside its name. */
  means?: RegExp;
  required?: boolean;
  /** Shown only if this is true of the other values. */
  when?: (values: FormValues) => boolean;
}

/**
 * A form. What was typed stays until the API has accepted it; a reason that it gives is shown beside the field that it
 * is about: the first whose name or `means` occurs in it, else the first field.
 */
export function Form({
  fields,
  verb,
  submit,
  done,
  keep,
}: {
  fields: Field[];
  verb: string;
  submit: (values: FormValues) => Promise<unknown>;
  done?: string | ((values: FormValues) => string);
  /** Keep the values after success. */
  keep?: boolean;
}) {
  const id = useId();
  const initial = () => Object.fromEntries(fields.map((field) => [field.name, field.initial ?? ""]));
  const [values, setValues] = useState<FormValues>(initial);
  const [wrong, setWrong] = useState<{ field: string; reason: string } | null>(null);
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const shown = fields.filter((field) => field.when?.(values) ?? true);

  const refuse = (field: string, reason: string) => {
    setWrong({ field, reason });
    form.current?.querySelector<HTMLElement>(`[name="${field}"]`)?.focus();
  };
  const send = async (event: Event) => {
    event.preventDefault();
    const missing = shown.find((field) => field.required && values[field.name] === "");
    if (missing) return refuse(missing.name, `${missing.label} is needed.`);
    setBusy(true);
    setWrong(null);
    try {
      await submit(values);
      if (done) say(typeof done === "string" ? done : done(values));
      if (!keep) setValues(initial());
    } catch (error) {
      if (error instanceof FieldError) refuse(error.field, error.message);
      else if (error instanceof ApiError) refuse(fieldOf(error.reason, shown), error.reason);
      else throw error;
    } finally {
      setBusy(false);
    }
  };
  return (
    <form ref={form} class="form" onSubmit={(event) => void send(event)} noValidate>
      {shown.map((field) => (
        <Input
          key={field.name}
          id={`${id}${field.name}`}
          field={field}
          value={values[field.name] ?? ""}
          wrong={wrong?.field === field.name ? wrong.reason : undefined}
          onValue={(value) => setValues((old) => ({ ...old, [field.name]: value }))}
        />
      ))}
      <div class="buttons">
        <button type="submit" class="primary" disabled={busy}>
          {verb}
        </button>
      </div>
    </form>
  );
}

/** A value that cannot be sent: its field, and why. */
export class FieldError extends Error {
  constructor(
    readonly field: string,
    reason: string,
  ) {
    super(reason);
  }
}

function fieldOf(reason: string, fields: Field[]): string {
  const text = reason.toLowerCase();
  const found =
    fields.find((field) => field.means?.test(reason)) ?? fields.find((field) => text.includes(field.name.toLowerCase()));
  return found?.name ?? fields[0]?.name ?? "";
}

function Input({
  id,
  field,
  value,
  wrong,
  onValue,
}: {
  id: string;
  field: Field;
  value: string;
  wrong: string | undefined;
  onValue: (value: string) => void;
}) {
  const kind = field.kind ?? "text";
  const described = [field.hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(" ") || undefined;
  const common = { id, name: field.name, "aria-describedby": described, "aria-invalid": wrong !== undefined } as const;
  const typed = (event: Event) =>
    onValue((event.currentTarget as HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement).value);
  return (
    <div class={`field ${kind}`}>
      <label for={id}>{field.label}</label>
      <div class="control">
        {kind === "select" ? (
          <select {...common} value={value} onChange={typed}>
            {field.options?.map((option) => (
              <option key={option} value={option}>
                {option === "" ? "default" : option}
              </option>
            ))}
          </select>
        ) : kind === "check" ? (
          <input
            {...common}
            type="checkbox"
            checked={value === "true"}
            onChange={(event) => onValue(event.currentTarget.checked ? "true" : "")}
          />
        ) : kind === "area" || kind === "pairs" ? (
          <textarea {...common} rows={kind === "pairs" ? 3 : 5} value={value} onInput={typed} spellcheck={false} />
        ) : kind === "password" ? (
          <input {...common} type="password" autocomplete="new-password" value={value} onInput={typed} />
        ) : (
          <input
            {...common}
            type="text"
            inputMode={kind === "number" ? "numeric" : "text"}
            autocomplete="off"
            {...(field.options ? { list: `${id}-list` } : {})}
            value={value}
            onInput={typed}
            spellcheck={false}
          />
        )}
        {kind === "pairs" && field.options && (
          <p class="chips">
            {field.options.map((option) => (
              <button
                key={option}
                type="button"
                class="chip"
                aria-label={`Add ${option}`}
                onClick={() => onValue(`${value}${value === "" || value.endsWith("\n") ? "" : "\n"}${option} = `)}
              >
                {option}
              </button>
            ))}
          </p>
        )}
        {field.options && kind !== "select" && kind !== "pairs" && (
          <datalist id={`${id}-list`}>
            {field.options.map((option) => (
              <option key={option} value={option} />
            ))}
          </datalist>
        )}
        {field.hint && (
          <p class="hint" id={`${id}-hint`}>
            {field.hint}
          </p>
        )}
        {wrong && (
          <p class="wrong" id={`${id}-wrong`} role="alert">
            {wrong}
          </p>
        )}
      </div>
    </div>
  );
}

/**
 * Lines `name = value` as an object. A value is JSON where it can be read as JSON, else text. Throws `FieldError` for a
 * line without a name.
 */
export function pairs(field: string, text: string): { [name: string]: Json } {
  const found: { [name: string]: Json } = {};
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const at = line.indexOf("=");
    if (at < 1) throw new FieldError(field, `“${line.trim()}” is not name = value.`);
    found[line.slice(0, at).trim()] = jsonOr(line.slice(at + 1).trim());
  }
  return found;
}

export function pairsText(of: { [name: string]: Json }): string {
  return Object.entries(of)
    .map(([name, value]) => `${name} = ${typeof value === "string" && jsonOr(value) === value ? value : JSON.stringify(value)}`)
    .join("\n");
}

function jsonOr(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

/** A number of a field. Throws `FieldError`. */
export function whole(field: string, text: string): number {
  if (!/^-?\d+$/.test(text.trim())) throw new FieldError(field, "A whole number is needed.");
  return Number(text);
}

/** A title with a number: "Consumers 12". */
export function Counted({ label, value }: { label: string; value: number | undefined }) {
  return (
    <>
      {label} {value ? <span class="counted">{count(value)}</span> : null}
    </>
  );
}

/** Shows an exception in a view instead of an empty page. */
export class Guard extends Component<{ children: ComponentChildren }, { error: unknown }> {
  override state = { error: null as unknown };

  override componentDidCatch(error: unknown): void {
    console.error(error);
    this.setState({ error });
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <p class="wrong" role="alert">
        This view has failed: {String(this.state.error)}
      </p>
    );
  }
}
