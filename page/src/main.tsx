// The management page: login, navigation, and the view of the current address.
import { render, type ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, expired, listen, resume, signIn, signInWith, signOut, tagged, type User } from "./api";
import {
  begin,
  endSession,
  finish,
  forget,
  goOn,
  isAnswer,
  LoginError,
  loginOptions,
  resourceServers,
  type LoginOptions,
  type ResourceServer,
} from "./oauth";
import { interval, link, range, reachable, theme, usePoll, useRoute, useShared, vhost, type Route } from "./hooks";
import { Confirmation, Guard, Notes } from "./ui";
import { AboutContext, UserContext, useAbout, useUser, useVhosts, type About } from "./session";
import { OverviewPage, NodePage } from "./views/overview";
import { ChannelPage, ChannelsPage, ConnectionPage, ConnectionsPage } from "./views/clients";
import { ExchangePage, ExchangesPage } from "./views/exchanges";
import { QueuePage, QueuesPage, StreamsPage } from "./views/queues";
import {
  DefinitionsPage,
  LimitsPage,
  PoliciesPage,
  PolicyPage,
  UserPage,
  UsersPage,
  VhostPage,
  VhostsPage,
} from "./views/admin";
import { LintPage, LogPage } from "./views/diagnose";
import { ClockPage, FaultsPage, HistoryPage, LifePage } from "./views/testing";
import "./style.css";

// --- navigation

interface Place {
  name: string;
  title: string;
  list: () => ComponentChildren;
  /** A single object: by its names in the address. */
  one?: (names: string[]) => ComponentChildren;
  /** Tags of which a user needs one; none: everybody may go there. */
  tags?: string[];
  /** Not in the navigation. */
  hidden?: boolean;
  /** Only where the broker serves tests. */
  testing?: boolean;
}

/** Groups of places, in the order of the navigation. */
const PLACES: [string, Place[]][] = [
  [
    "",
    [
      { name: "", title: "Overview", list: () => <OverviewPage /> },
      { name: "connections", title: "Connections", list: () => <ConnectionsPage />, one: ([name = ""]) => <ConnectionPage name={name} /> },
      { name: "channels", title: "Channels", list: () => <ChannelsPage />, one: ([name = ""]) => <ChannelPage name={name} /> },
      { name: "exchanges", title: "Exchanges", list: () => <ExchangesPage />, one: ([host = "", name = ""]) => <ExchangePage vhost={host} name={name} /> },
      { name: "queues", title: "Queues", list: () => <QueuesPage />, one: ([host = "", name = ""]) => <QueuePage vhost={host} name={name} /> },
      { name: "streams", title: "Streams", list: () => <StreamsPage /> },
      { name: "nodes", title: "Nodes", list: () => <OverviewPage />, one: ([name = ""]) => <NodePage name={name} />, tags: ["monitoring"], hidden: true },
    ],
  ],
  [
    "Admin",
    [
      { name: "users", title: "Users", list: () => <UsersPage />, one: ([name = ""]) => <UserPage name={name} />, tags: [] },
      { name: "vhosts", title: "Virtual hosts", list: () => <VhostsPage />, one: ([name = ""]) => <VhostPage name={name} /> },
      { name: "policies", title: "Policies", list: () => <PoliciesPage />, one: ([host = "", name = ""]) => <PolicyPage vhost={host} name={name} /> },
      { name: "limits", title: "Limits", list: () => <LimitsPage /> },
      { name: "definitions", title: "Definitions", list: () => <DefinitionsPage />, tags: [] },
    ],
  ],
  [
    "Diagnose",
    [
      { name: "lint", title: "Lint", list: () => <LintPage />, tags: ["monitoring"] },
      { name: "log", title: "Log", list: () => <LogPage />, tags: ["monitoring"] },
      { name: "deprecated-features", title: "Deprecated features", list: () => <LintPage />, tags: ["monitoring"], hidden: true },
    ],
  ],
  [
    "Testing",
    [
      { name: "clock", title: "Clock", list: () => <ClockPage />, tags: [], testing: true },
      { name: "faults", title: "Faults", list: () => <FaultsPage />, tags: [], testing: true },
      { name: "history", title: "History", list: () => <HistoryPage />, one: ([id = ""]) => <LifePage id={id} />, tags: [], testing: true },
    ],
  ],
];

const permitted = (user: User, place: Place, testing: boolean) =>
  (place.tags === undefined || tagged(user, ...place.tags)) && (testing || !place.testing);

function View({ route }: { route: Route }) {
  const user = useUser();
  const about = useAbout();
  const [name = "", ...names] = route.at;
  const place = PLACES.flatMap(([, places]) => places).find((one) => one.name === name);
  if (!place) return <p class="empty">There is no such page. <a href="#/">Overview</a></p>;
  if (place.testing && about === undefined) return <p class="waiting">Loading…</p>;
  if (!permitted(user, place, about?.testing === true)) return <p class="empty">You may not see this page.</p>;
  if (names.length === 0 || !place.one) return <Guard key={name}>{place.list()}</Guard>;
  return <Guard key={route.at.join("\n")}>{place.one(names)}</Guard>;
}

function Navigation({ route, close }: { route: Route; close: () => void }) {
  const user = useUser();
  const testing = useAbout()?.testing === true;
  const current = route.at[0] ?? "";
  return (
    <nav id="navigation" aria-label="Pages of the broker">
      {PLACES.map(([group, places]) => {
        const shown = places.filter((place) => !place.hidden && permitted(user, place, testing));
        if (shown.length === 0) return null;
        return (
          <div class="group" key={group}>
            {group && <p class="group-name">{group}</p>}
            <ul>
              {shown.map((place) => (
                <li key={place.name}>
                  <a href={link(...(place.name ? [place.name] : []))} aria-current={place.name === current ? "page" : undefined} onClick={close}>
                    {place.title}
                  </a>
                </li>
              ))}
            </ul>
          </div>
        );
      })}
    </nav>
  );
}

// --- the frame

const ABOUT_MS = 60_000;

/** The frame with what the broker says of itself. */
function Informed({ route }: { route: Route }) {
  const { data } = usePoll<About>("leveret", { every: ABOUT_MS });
  return (
    <AboutContext.Provider value={data}>
      <Frame route={route} />
    </AboutContext.Provider>
  );
}

const INTERVALS: [string, string][] = [
  ["2000", "every 2 s"],
  ["5000", "every 5 s"],
  ["30000", "every 30 s"],
  ["0", "on demand"],
];

const RANGES: [string, string][] = [
  ["60", "1 min"],
  ["300", "5 min"],
  ["600", "10 min"],
];

const THEMES = ["auto", "light", "dark"];

function Frame({ route }: { route: Route }) {
  const user = useUser();
  const [open, setOpen] = useState(false);
  const content = useRef<HTMLElement>(null);
  const at = route.at.join("/");
  const first = useRef(true);
  useEffect(() => {
    document.title = `${route.at.at(-1) ?? "Overview"} · Leveret`;
    if (first.current) first.current = false;
    else content.current?.focus();
    scrollTo(0, 0);
  }, [at]);
  return (
    <div class={open ? "frame open" : "frame"}>
      <a class="skip" href="#content" onClick={(event) => (event.preventDefault(), content.current?.focus())}>
        Skip to content
      </a>
      <header class="top">
        <button type="button" class="plain menu" aria-expanded={open} aria-controls="navigation" onClick={() => setOpen(!open)}>
          <span aria-hidden="true">☰</span>
          <span class="hidden">Menu</span>
        </button>
        <a class="brand" href="#/">
          <img src="icon.svg" alt="" width="24" height="24" />
          <span>Leveret</span>
        </a>
        <Cluster />
        <div class="settings">
          <VhostChoice />
          <Choice label="Charts" value={useShared(range)} options={RANGES} onChange={(value) => range.set(value)} />
          <Choice label="Refresh" value={useShared(interval)} options={INTERVALS} onChange={(value) => interval.set(value)} />
          <Choice label="Colours" value={useShared(theme)} options={THEMES.map((one) => [one, one])} onChange={(value) => theme.set(value)} />
          <span class="user">{user.name}</span>
          <button type="button" class="plain" onClick={logOut}>
            Log out
          </button>
        </div>
      </header>
      <Navigation route={route} close={() => setOpen(false)} />
      <Lost />
      <main id="content" ref={content} tabIndex={-1}>
        <View route={route} />
      </main>
      <Notes />
      <Confirmation />
    </div>
  );
}

function Cluster() {
  const data = useAbout();
  if (!data) return null;
  return (
    <span class="cluster">
      {data.cluster_name} <span class="muted">{data.version}, as RabbitMQ {data.profile}</span>
    </span>
  );
}

function VhostChoice() {
  const all = useVhosts();
  const chosen = useShared(vhost);
  useEffect(() => {
    if (all.length > 0 && chosen !== "" && !all.includes(chosen)) vhost.set("");
  }, [all, chosen]);
  if (all.length < 2) return null;
  const options: [string, string][] = [["", "all"], ...all.map((name): [string, string] => [name, name])];
  return <Choice label="Virtual host" value={chosen} options={options} onChange={(value) => vhost.set(value)} />;
}

function Choice({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: string;
  options: [string, string][];
  onChange: (value: string) => void;
}) {
  return (
    <label class="choice">
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map(([each, text]) => (
          <option key={each} value={each}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

function Lost() {
  const answers = useShared(reachable);
  return (
    <div role="alert" class="lost-connection">
      {!answers && <p>The broker does not answer. What is shown may be old; trying again…</p>}
    </div>
  );
}

// --- login

/** What the login offers. `problem`: why the last login has failed or ended. */
interface Offer {
  options: LoginOptions;
  problem: string;
}

function Login({ options, problem, done }: Offer & { done: (user: User) => void }) {
  const [wrong, setWrong] = useState(problem);
  useEffect(() => setWrong(problem), [problem]);
  const servers = resourceServers(options);
  const withPassword = servers.length === 0 || options.oauth_disable_basic_auth === false;
  const leave = (server: ResourceServer) =>
    begin(server).catch((error: unknown) => {
      if (!(error instanceof LoginError)) throw error;
      setWrong(error.message);
    });
  return (
    <main class="login">
      <div class="card">
        <h1>
          <img src="icon.svg" alt="" width="36" height="36" /> Leveret
        </h1>
        {servers.map((server) => (
          <button key={server.id} type="button" class="primary" onClick={() => void leave(server)}>
            Log in with {server.label ?? (servers.length > 1 ? server.id : "single sign-on")}
          </button>
        ))}
        {servers.length > 0 && withPassword && <p class="or">or</p>}
        {withPassword && <PasswordForm done={done} say={setWrong} />}
        {wrong && (
          <p class="wrong" role="alert">
            {wrong}
          </p>
        )}
      </div>
    </main>
  );
}

function PasswordForm({ done, say }: { done: (user: User) => void; say: (wrong: string) => void }) {
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    say("");
    try {
      done(await signIn(String(form.get("username")), String(form.get("password"))));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(error.status === 401 ? loginRefused(error.reason) : error.reason);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form onSubmit={(event) => void submit(event)}>
      <label for="username">User name</label>
      <input id="username" name="username" autocomplete="username" autocapitalize="none" autofocus required />
      <label for="password">Password</label>
      <input id="password" name="password" type="password" autocomplete="current-password" />
      <button type="submit" class="primary" disabled={busy}>
        Log in
      </button>
    </form>
  );
}

function loginRefused(reason: string): string {
  if (reason === "Not management user") return "This user may not use the page: it has no management tag.";
  return "User name or password is wrong, or this user may log in from the broker's machine only.";
}

// --- the page

const EXPIRY_MS = 30_000;

/** Return the user of a login that has come back from a provider, or of one that this tab has, or null. Throws. */
async function arrive(options: LoginOptions): Promise<User | null> {
  if (options.oauth_enabled && isAnswer()) return withToken(await finish());
  if (options.access_token) return withToken(options.access_token);
  goOn();
  return resume();
}

/** Log in with a token. Throws `LoginError`. */
async function withToken(token: string): Promise<User> {
  try {
    return await signInWith(token);
  } catch (error) {
    forget();
    if (!(error instanceof ApiError)) throw error;
    throw new LoginError(error.status === 401 ? tokenRefused(error.reason) : error.reason);
  }
}

function tokenRefused(reason: string): string {
  if (reason === "Not management user") return loginRefused(reason);
  return "The broker does not accept the token of the provider; its log says why.";
}

function logOut(): void {
  void endSession(); // reads the session before it is forgotten
  signOut();
}

function App() {
  const [user, setUser] = useState<User | null>();
  const [offer, setOffer] = useState<Offer>({ options: { oauth_enabled: false }, problem: "" });
  const route = useRoute();
  const scheme = useShared(theme);
  const enter = async () => {
    const options = await loginOptions();
    setOffer({ options, problem: "" });
    try {
      setUser(await arrive(options));
    } catch (error) {
      if (error instanceof LoginError) setOffer({ options, problem: error.message });
      setUser(null);
    }
  };
  useEffect(() => {
    listen(
      (reason) => {
        forget();
        setOffer(({ options }) => ({ options, problem: reason }));
        setUser(null);
      },
      (answers) => reachable.set(answers),
    );
    void enter();
    const timer = setInterval(() => expired() && signOut(), EXPIRY_MS);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    document.documentElement.dataset.theme = scheme;
  }, [scheme]);
  if (user === undefined) return null;
  if (user === null) return <Login {...offer} done={setUser} />;
  return (
    <UserContext.Provider value={user}>
      <Informed route={route} />
    </UserContext.Provider>
  );
}

const at = document.getElementById("page");
if (at) render(<App />, at);
