// Lint findings and the log.
import { useEffect, useRef, useState } from "preact/hooks";
import { call, get } from "../api";
import { ago, clock, count, date } from "../format";
import { usePoll } from "../hooks";
import { Act, LocalTable, Section, sayError, Tag, Title, Waiting, type Column } from "../ui";
import { useTagged } from "../session";
import type { Finding, LogLine } from "../types";

interface Feature {
  name: string;
  desc: string;
  deprecation_phase: string;
  doc_url: string;
}

export function LintPage() {
  const administrates = useTagged();
  const polled = usePoll<Finding[]>("lint");
  const features = usePoll<Feature[]>("deprecated-features/used");
  const columns: Column<Finding>[] = [
    {
      title: "Finding",
      sort: "subject",
      value: (one) => one.subject,
      cell: (one) => (
        <>
          {one.subject}: {one.problem} {one.detail && <code>{one.detail}</code>}
          <div class="second">{one.advice}</div>
        </>
      ),
    },
    {
      title: "Refused from",
      sort: "refused",
      value: (one) => one.refused_from,
      cell: (one) => (one.refused_from ? <Tag kind="bad">{one.refused_from}</Tag> : <span class="muted">no version</span>),
    },
    { title: "Seen", sort: "count", number: true, value: (one) => one.count, cell: (one) => `${count(one.count)}×` },
    { title: "Last", sort: "last", value: (one) => one.last_seen, cell: (one) => ago(one.last_seen), wide: true },
    { title: "By", cell: (one) => one.connection, wide: true },
  ];
  if (!polled.data) return <Waiting polled={polled} />;
  const breaking = polled.data.filter((one) => one.refused_from).length;
  return (
    <>
      <Title
        actions={
          administrates && polled.data.length > 0 ? (
            <Act
              label="Forget"
              title="Forget the findings?"
              lost={<p>The findings so far are forgotten. What is still so is found again.</p>}
              run={async () => {
                await call("DELETE", "lint");
                polled.refresh();
              }}
            />
          ) : null
        }
      >
        Lint
      </Title>
      <p class="muted">
        What clients do that a newer RabbitMQ refuses, that is deprecated, or that has no effect.{" "}
        {breaking > 0 && `${count(breaking)} would be refused.`}
      </p>
      <LocalTable
        label="Findings"
        columns={columns}
        rows={polled.data}
        keyOf={(one) => `${one.rule}\n${one.subject}\n${one.detail}`}
        initial={{ by: "refused", reverse: true }}
        none="Nothing was found."
      />
      {features.data && features.data.length > 0 && (
        <Section title="Deprecated features in use">
          <ul class="values">
            {features.data.map((one) => (
              <li key={one.name}>
                <code>{one.name}</code> {one.deprecation_phase.replaceAll("_", " ")}
              </li>
            ))}
          </ul>
        </Section>
      )}
    </>
  );
}

const LOG_MS = 2000;
const KEPT = 1000;
const LEVELS = ["debug", "info", "notice", "warning", "error", "critical"];

export function LogPage() {
  const [lines, setLines] = useState<LogLine[]>([]);
  const [paused, setPaused] = useState(false);
  const [level, setLevel] = useState("debug");
  const [text, setText] = useState("");
  const end = useRef<HTMLDivElement>(null);
  const newest = useRef(0);

  useEffect(() => {
    if (paused) return;
    let timer = 0;
    let ended = false;
    const ask = async () => {
      try {
        if (!document.hidden) {
          const found = await get<LogLine[]>(`leveret/log?after=${newest.current}`);
          if (found.length > 0 && !ended) {
            newest.current = found[found.length - 1]?.number ?? newest.current;
            setLines((old) => [...old, ...found].slice(-KEPT));
          }
        }
      } catch (error) {
        if (!ended && newest.current === 0) sayError(error);
        // After a restart the numbers begin again.
        newest.current = 0;
        setLines([]);
      }
      if (!ended) timer = window.setTimeout(() => void ask(), LOG_MS);
    };
    void ask();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [paused]);
  useEffect(() => {
    const element = end.current;
    if (element && !paused) element.scrollTop = element.scrollHeight;
  }, [lines, paused]);

  const least = LEVELS.indexOf(level);
  const shown = lines.filter(
    (one) => LEVELS.indexOf(one.level) >= least && (text === "" || one.text.toLowerCase().includes(text.toLowerCase())),
  );
  return (
    <>
      <Title
        actions={
          <button type="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
            {paused ? "Resume" : "Pause"}
          </button>
        }
      >
        Log
      </Title>
      <div class="bar">
        <form class="filter" role="search" onSubmit={(event) => event.preventDefault()}>
          <input type="search" aria-label="Filter the log by text" placeholder="Filter by text" value={text} onInput={(event) => setText(event.currentTarget.value)} />
          <label class="check">
            From level
            <select value={level} onChange={(event) => setLevel(event.currentTarget.value)}>
              {LEVELS.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </label>
        </form>
        <span class="range">{count(shown.length)} lines</span>
      </div>
      <div class="log" ref={end} tabIndex={0} role="log" aria-label="Log" aria-live="off">
        {shown.map((one) => (
          <div key={one.number} class={`line ${one.level}`}>
            <time title={date(one.time)}>{clock(one.time)}</time>
            <span class="level">{one.level}</span>
            <span class="text">{one.text}</span>
          </div>
        ))}
        {shown.length === 0 && <p class="empty">No line yet.</p>}
      </div>
    </>
  );
}
