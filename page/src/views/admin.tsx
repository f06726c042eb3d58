// Users, permissions, virtual hosts, limits, policies and definitions.
import { useState } from "preact/hooks";
import { call, get, path, type Json } from "../api";
import { brief, count, rate } from "../format";
import { link, usePoll, useShared, vhost as chosenVhost } from "../hooks";
import { List } from "../list";
import { Chart, useSamples } from "../chart";
import {
  Act,
  confirmed,
  Facts,
  FieldError,
  Figure,
  Fold,
  Form,
  LongTable,
  pairs,
  pairsText,
  say,
  sayError,
  Section,
  Table,
  Tag,
  Title,
  Values,
  Waiting,
  whole,
  type Column,
  type Field,
  type FormValues,
} from "../ui";
import { useTagged, useUser, useVhosts } from "../session";
import {
  rateOf,
  type Limits,
  type Permission,
  type Policy,
  type TopicPermission,
  type UserInfo,
  type Vhost,
} from "../types";
import { useTarget, useVhostColumn } from "./common";

// --- users

const TAGS = ["administrator", "monitoring", "policymaker", "management"];
const tagsOf = (user: UserInfo) => (typeof user.tags === "string" ? user.tags.split(",") : user.tags).filter(Boolean);

export function UsersPage() {
  const columns: Column<UserInfo>[] = [
    { title: "Name", sort: "name", cell: (one) => <a href={link("users", one.name)}>{one.name}</a> },
    { title: "Tags", cell: (one) => tagsOf(one).map((tag) => <Tag key={tag}>{tag}</Tag>) },
    { title: "Limits", cell: (one) => <Values of={one.limits ?? {}} none="" />, wide: true },
  ];
  const without = usePoll<UserInfo[]>("users/without-permissions");
  return (
    <>
      <Title>Users</Title>
      {without.data && without.data.length > 0 && (
        <p class="hint">
          Without permissions in any virtual host:{" "}
          {without.data.map((one) => (
            <a key={one.name} href={link("users", one.name)}>
              {one.name}
            </a>
          ))}
        </p>
      )}
      <List<UserInfo> of="users" label="Users" columns={columns} keyOf={(one) => one.name} none="There is no user." />
      <Fold title="Add a user">
        <Form
          fields={[
            { name: "name", label: "Name", required: true, means: /user name|username/ },
            { name: "password", label: "Password", kind: "password", hint: "empty: the user cannot log in with a password", means: /password/ },
            ...tagFields([]),
          ]}
          verb="Add user"
          submit={async (values) => {
            await call("PUT", path("users", values.name ?? ""), userBody(values));
            location.hash = link("users", values.name ?? "");
          }}
          done={(values) => `User ${values.name} was added. Give permissions next.`}
        />
      </Fold>
    </>
  );
}

function tagFields(given: string[]): Field[] {
  return TAGS.map((tag) => ({ name: `tag_${tag}`, label: `Tag ${tag}`, kind: "check", initial: given.includes(tag) ? "true" : "" }));
}

function userBody(values: FormValues): { [name: string]: Json } {
  const tags = TAGS.filter((tag) => values[`tag_${tag}`] === "true").join(",");
  return values.password ? { password: values.password, tags } : { password_hash: "", tags };
}

export function UserPage({ name }: { name: string }) {
  const at = path("users", name);
  const me = useUser();
  const polled = usePoll<UserInfo>(at);
  const permissions = usePoll<Permission[]>(`${at}/permissions`);
  const topics = usePoll<TopicPermission[]>(`${at}/topic-permissions`);
  const limits = usePoll<Limits[]>(path("user-limits", name));
  const vhosts = useVhosts();
  const user = polled.data;
  if (!user) return <Waiting polled={polled} />;
  const clear = async (one: Permission) => {
    if (!(await confirmed(`Clear permissions in ${one.vhost}?`, <p>{name} cannot use this virtual host any more.</p>, "Clear"))) return;
    await call("DELETE", path("permissions", one.vhost, name));
    permissions.refresh();
  };
  return (
    <>
      <Title
        kind="User"
        tags={tagsOf(user).map((tag) => (
          <Tag key={tag}>{tag}</Tag>
        ))}
        actions={
          me.name !== name && (
            <Act
              label="Delete"
              title={`Delete user ${name}?`}
              danger
              lost={<p>The user's connections are closed; permissions and limits are lost.</p>}
              run={async () => {
                await call("DELETE", at);
                location.hash = "#/users";
              }}
              done={`User ${name} was deleted.`}
            />
          )
        }
      >
        {name}
      </Title>
      <Section title="Permissions">
        <Table
          label="Permissions"
          rows={permissions.data ?? []}
          keyOf={(one) => one.vhost}
          none="No permissions: the user cannot open any virtual host."
          columns={[
            { title: "Virtual host", cell: (one) => <a href={link("vhosts", one.vhost)}>{one.vhost}</a> },
            { title: "Configure", cell: (one) => <code>{one.configure || "^$"}</code> },
            { title: "Write", cell: (one) => <code>{one.write || "^$"}</code> },
            { title: "Read", cell: (one) => <code>{one.read || "^$"}</code> },
            {
              title: "",
              cell: (one) => (
                <button type="button" class="small danger" onClick={() => void clear(one).catch(sayError)}>
                  Clear
                </button>
              ),
            },
          ]}
        />
        <Fold title="Set permissions" open={permissions.data?.length === 0}>
          <PermissionForm user={name} vhosts={vhosts} done={permissions.refresh} />
        </Fold>
      </Section>
      <Section title="Topic permissions">
        <Table
          label="Topic permissions"
          rows={topics.data ?? []}
          keyOf={(one) => `${one.vhost}\n${one.exchange}`}
          none="No topic permissions: all routing keys may be used."
          columns={[
            { title: "Virtual host", cell: (one) => one.vhost },
            { title: "Exchange", cell: (one) => one.exchange },
            { title: "Write", cell: (one) => <code>{one.write}</code> },
            { title: "Read", cell: (one) => <code>{one.read}</code> },
            {
              title: "",
              cell: (one) => (
                <Act
                  label="Clear"
                  small
                  danger
                  lost={<p>All routing keys may be used with {one.exchange} then.</p>}
                  run={async () => {
                    await call("DELETE", path("topic-permissions", one.vhost, name, one.exchange));
                    topics.refresh();
                  }}
                />
              ),
            },
          ]}
        />
        <Fold title="Set topic permissions">
          <Form
            key={vhosts.join("\n")}
            fields={[
              { name: "vhost", label: "Virtual host", kind: "select", options: vhosts, initial: vhosts[0] ?? "" },
              { name: "exchange", label: "Exchange", initial: "amq.topic", required: true },
              { name: "write", label: "Write", initial: ".*" },
              { name: "read", label: "Read", initial: ".*" },
            ]}
            verb="Set topic permissions"
            submit={async (values) => {
              const body = { exchange: values.exchange, write: values.write, read: values.read };
              await call("PUT", path("topic-permissions", values.vhost ?? "", name), body);
              topics.refresh();
            }}
            done="Topic permissions were set."
            keep
          />
        </Fold>
      </Section>
      <Section title="Limits">
        <LimitsOf kind="user" name={name} of={limits.data?.[0]?.value ?? {}} refresh={limits.refresh} />
      </Section>
      <Fold title="Change password or tags">
        <Form
          key={tagsOf(user).join()}
          fields={[
            { name: "password", label: "New password", kind: "password", required: true, hint: "RabbitMQ's API sets both together" },
            ...tagFields(tagsOf(user)),
          ]}
          verb="Change user"
          submit={async (values) => {
            await call("PUT", at, userBody(values));
            polled.refresh();
          }}
          done="The user was changed."
        />
      </Fold>
    </>
  );
}

function PermissionForm({ user, vhosts, done }: { user: string; vhosts: string[]; done: () => void }) {
  if (vhosts.length === 0) return null;
  const wrong = /regex|pattern|invalid/i;
  return (
    <Form
      fields={[
        { name: "vhost", label: "Virtual host", kind: "select", options: vhosts, initial: vhosts[0] ?? "" },
        { name: "configure", label: "Configure", initial: ".*", means: wrong, hint: "names of what the user may declare and delete" },
        { name: "write", label: "Write", initial: ".*", hint: "exchanges to publish to" },
        { name: "read", label: "Read", initial: ".*", hint: "queues to consume from" },
      ]}
      verb="Set permissions"
      submit={async (values) => {
        const body = { configure: values.configure, write: values.write, read: values.read };
        await call("PUT", path("permissions", values.vhost ?? "", user), body);
        done();
      }}
      done="Permissions were set."
      keep
    />
  );
}

// --- virtual hosts

export function VhostsPage() {
  const administrates = useTagged();
  const columns: Column<Vhost>[] = [
    { title: "Name", sort: "name", cell: (one) => <a href={link("vhosts", one.name)}>{one.name}</a> },
    { title: "Description", cell: (one) => one.description, wide: true },
    { title: "Tags", cell: (one) => one.tags?.map((tag) => <Tag key={tag}>{tag}</Tag>), wide: true },
    { title: "Ready", sort: "messages_ready", number: true, cell: (one) => count(one.messages_ready ?? 0) },
    { title: "Unacked", sort: "messages_unacknowledged", number: true, cell: (one) => count(one.messages_unacknowledged ?? 0) },
    { title: "In", number: true, cell: (one) => rate(rateOf(one.message_stats, "publish") ?? 0) },
    { title: "Out", number: true, cell: (one) => rate(rateOf(one.message_stats, "deliver_get") ?? 0) },
  ];
  return (
    <>
      <Title>Virtual hosts</Title>
      <List<Vhost> of="vhosts" label="Virtual hosts" columns={columns} keyOf={(one) => one.name} none="There is no virtual host that you may see." />
      {administrates && (
        <Fold title="Add a virtual host">
          <Form
            fields={[
              { name: "name", label: "Name", required: true },
              ...vhostFields({}),
            ]}
            verb="Add virtual host"
            submit={(values) => call("PUT", path("vhosts", values.name ?? ""), vhostBody(values))}
            done={(values) => `Virtual host ${values.name} was added; you have all permissions in it.`}
          />
        </Fold>
      )}
    </>
  );
}

function vhostFields(given: Partial<Vhost>): Field[] {
  return [
    { name: "description", label: "Description", initial: given.description ?? "" },
    { name: "tags", label: "Tags", initial: given.tags?.join(", ") ?? "", hint: "separated by commas" },
    { name: "default_queue_type", label: "Default queue type", kind: "select", options: ["", "classic", "quorum", "stream"], initial: given.default_queue_type === "undefined" ? "" : (given.default_queue_type ?? ""), means: /queue.?type/ },
  ];
}

function vhostBody(values: FormValues): { [name: string]: Json } {
  return {
    description: values.description ?? "",
    tags: values.tags ?? "",
    ...(values.default_queue_type ? { default_queue_type: values.default_queue_type } : {}),
  };
}

export function VhostPage({ name }: { name: string }) {
  const samples = useSamples("lengths", "msg_rates");
  const at = path("vhosts", name);
  const administrates = useTagged();
  const list = usePoll<Vhost[]>(administrates ? null : "vhosts");
  const single = usePoll<Vhost>(administrates ? `${at}?${samples}` : null);
  const permissions = usePoll<Permission[]>(administrates ? `${at}/permissions` : null);
  const limits = usePoll<Limits[]>(path("vhost-limits", name));
  const shown = administrates ? single.data : list.data?.find((one) => one.name === name);
  if (!shown) return <Waiting polled={administrates ? single : list} />;
  const kept = shown.protected_from_deletion === true || (shown.metadata?.protected_from_deletion ?? false) === true;
  return (
    <>
      <Title
        kind="Virtual host"
        tags={
          <>
            {shown.tags?.map((tag) => <Tag key={tag}>{tag}</Tag>)} {shown.tracing && <Tag kind="warn">traced</Tag>}{" "}
            {kept && <Tag kind="good">protected</Tag>}
          </>
        }
        actions={
          administrates && (
            <>
              <Act
                label={kept ? "Unprotect" : "Protect"}
                run={async () => {
                  await call(kept ? "DELETE" : "POST", `${at}/deletion/protection`);
                  single.refresh();
                }}
                done={kept ? "It can be deleted now." : "It cannot be deleted now."}
              />
              {!kept && (
                <Act
                  label="Delete"
                  title={`Delete virtual host ${name}?`}
                  danger
                  lost={
                    <p>
                      All its exchanges, queues and {count(shown.messages ?? 0)} messages are lost, with permissions,
                      policies and limits. Its connections are closed.
                    </p>
                  }
                  run={async () => {
                    await call("DELETE", at);
                    location.hash = "#/vhosts";
                  }}
                  done={`Virtual host ${name} was deleted.`}
                />
              )}
            </>
          )
        }
      >
        {name}
      </Title>
      <div class="figures">
        <Figure name="Ready" value={brief(shown.messages_ready ?? 0)} />
        <Figure name="Unacked" value={brief(shown.messages_unacknowledged ?? 0)} />
      </div>
      {administrates && (
        <div class="charts">
          <Chart
            title="Message rates"
            counts={shown.message_stats}
            perSecond
            series={[
              { name: "Publish", field: "publish", colour: 1 },
              { name: "Deliver", field: "deliver_get", colour: 2 },
            ]}
          />
        </div>
      )}
      {permissions.data && (
        <Section title="Permissions">
          <LongTable
            label="Permissions"
            rows={permissions.data}
            keyOf={(one) => one.user}
            none="No user has permissions here."
            columns={[
              { title: "User", cell: (one) => <a href={link("users", one.user)}>{one.user}</a> },
              { title: "Configure", cell: (one) => <code>{one.configure || "^$"}</code> },
              { title: "Write", cell: (one) => <code>{one.write || "^$"}</code> },
              { title: "Read", cell: (one) => <code>{one.read || "^$"}</code> },
            ]}
          />
        </Section>
      )}
      <Section title="Limits">
        {administrates ? (
          <LimitsOf kind="vhost" name={name} of={limits.data?.[0]?.value ?? {}} refresh={limits.refresh} />
        ) : (
          <Values of={limits.data?.[0]?.value ?? {}} />
        )}
      </Section>
      <Section title="Facts">
        <Facts
          of={[
            ["Description", shown.description || undefined],
            ["Default queue type", shown.default_queue_type],
          ]}
        />
      </Section>
      {administrates && (
        <Fold title="Change">
          <Form
            fields={vhostFields(shown)}
            verb="Change virtual host"
            submit={async (values) => {
              await call("PUT", at, vhostBody(values));
              single.refresh();
            }}
            done="The virtual host was changed."
            keep
          />
        </Fold>
      )}
    </>
  );
}

// --- limits

const LIMITS = { vhost: ["max-connections", "max-queues"], user: ["max-connections", "max-channels"] };

function LimitsOf({
  kind,
  name,
  of,
  refresh,
}: {
  kind: "vhost" | "user";
  name: string;
  of: { [name: string]: number };
  refresh: () => void;
}) {
  const at = (limit: string) => path(`${kind}-limits`, name, limit);
  const rows = Object.entries(of);
  return (
    <>
      <Table
        label="Limits"
        rows={rows}
        keyOf={([limit]) => limit}
        none="No limits."
        columns={[
          { title: "Limit", cell: ([limit]) => limit },
          { title: "Value", number: true, cell: ([, value]) => (value < 0 ? "none" : count(value)) },
          {
            title: "",
            cell: ([limit]) => (
              <Act
                label="Clear"
                small
                run={async () => {
                  await call("DELETE", at(limit));
                  refresh();
                }}
                done="The limit was cleared."
              />
            ),
          },
        ]}
      />
      <Fold title="Set a limit">
        <Form
          fields={[
            { name: "limit", label: "Limit", kind: "select", options: LIMITS[kind], initial: LIMITS[kind][0] ?? "" },
            { name: "value", label: "Value", kind: "number", required: true, means: /./ },
          ]}
          verb="Set limit"
          submit={async (values) => {
            await call("PUT", at(values.limit ?? ""), { value: whole("value", values.value ?? "") });
            refresh();
          }}
          done="The limit was set."
        />
      </Fold>
    </>
  );
}

export function LimitsPage() {
  const administrates = useTagged();
  const vhosts = usePoll<Limits[]>("vhost-limits");
  const users = usePoll<Limits[]>(administrates ? "user-limits" : null);
  const columns = (kind: "vhost" | "user"): Column<Limits>[] => [
    {
      title: kind === "vhost" ? "Virtual host" : "User",
      cell: (one) => <a href={link(`${kind}s`, one[kind] ?? "")}>{one[kind]}</a>,
    },
    { title: "Limits", cell: (one) => <Values of={one.value} /> },
  ];
  return (
    <>
      <Title>Limits</Title>
      <Section title="Virtual hosts">
        <Table label="Limits of virtual hosts" columns={columns("vhost")} rows={vhosts.data ?? []} keyOf={(one) => one.vhost ?? ""} none="No virtual host has a limit. Open one to set it." />
      </Section>
      {administrates && (
        <Section title="Users">
          <Table label="Limits of users" columns={columns("user")} rows={users.data ?? []} keyOf={(one) => one.user ?? ""} none="No user has a limit. Open one to set it." />
        </Section>
      )}
    </>
  );
}

// --- policies

const DEFINITIONS = [
  "message-ttl",
  "expires",
  "max-length",
  "max-length-bytes",
  "overflow",
  "dead-letter-exchange",
  "dead-letter-routing-key",
  "delivery-limit",
  "alternate-exchange",
  "max-age",
];
const APPLY_TO = ["queues", "classic_queues", "quorum_queues", "streams", "exchanges", "all"];

export function PoliciesPage() {
  const changes = useTagged("policymaker");
  const administrates = useTagged();
  return (
    <>
      <Title>Policies</Title>
      <PolicyList kind="policies" title="User policies" changes={changes} />
      <PolicyList kind="operator-policies" title="Operator policies" changes={administrates} />
    </>
  );
}

type PolicyKind = "policies" | "operator-policies";

function PolicyList({ kind, title, changes }: { kind: PolicyKind; title: string; changes: boolean }) {
  const chosen = useShared(chosenVhost);
  const target = useTarget();
  const polled = usePoll<Policy[]>(chosen ? path(kind, chosen) : kind);
  const columns: Column<Policy>[] = [
    { title: "Name", cell: (one) => (kind === "policies" ? <a href={link("policies", one.vhost, one.name)}>{one.name}</a> : one.name) },
    ...useVhostColumn<Policy>(),
    { title: "Pattern", cell: (one) => <code>{one.pattern}</code> },
    { title: "Applies to", cell: (one) => one["apply-to"] },
    { title: "Priority", number: true, cell: (one) => one.priority },
    { title: "Definition", cell: (one) => <Values of={one.definition} /> },
    ...(changes ? [{ title: "", cell: (one: Policy) => <ClearPolicy kind={kind} policy={one} refresh={polled.refresh} /> }] : []),
  ];
  if (!polled.data) return polled.error?.status === 401 ? null : <Waiting polled={polled} />;
  return (
    <Section title={title}>
      <Table label={title} columns={columns} rows={polled.data} keyOf={(one) => `${one.vhost}\n${one.name}`} none="No policy." />
      {changes && (
        <Fold title="Add or change a policy">
          <PolicyForm kind={kind} vhost={target} done={polled.refresh} />
        </Fold>
      )}
    </Section>
  );
}

function ClearPolicy({ kind, policy, refresh }: { kind: PolicyKind; policy: Policy; refresh: () => void }) {
  return (
    <Act
      label="Clear"
      title={`Clear policy ${policy.name}?`}
      small
      danger
      lost={<p>What matches {policy.pattern} loses these settings at once.</p>}
      run={async () => {
        await call("DELETE", path(kind, policy.vhost, policy.name));
        refresh();
      }}
      done="The policy was cleared."
    />
  );
}

function PolicyForm({ kind, vhost, given, done }: { kind: PolicyKind; vhost: string; given?: Policy; done: () => void }) {
  const form: Field[] = [
    ...(given ? [] : [{ name: "name", label: "Name", required: true, hint: `in virtual host ${vhost}` }]),
    { name: "pattern", label: "Pattern", initial: given?.pattern ?? "", hint: "a regular expression of names", means: /pattern|regular/ },
    { name: "apply-to", label: "Applies to", kind: "select", options: APPLY_TO, initial: given?.["apply-to"] ?? "queues", means: /apply/ },
    { name: "priority", label: "Priority", kind: "number", initial: String(given?.priority ?? 0) },
    { name: "definition", label: "Definition", kind: "pairs", initial: pairsText(given?.definition ?? {}), options: DEFINITIONS, hint: "one name = value on each line", means: /definition|recognised|invalid|validation/i },
  ];
  return (
    <Form
      fields={form}
      verb={given ? "Change policy" : "Set policy"}
      submit={async (values) => {
        const body = {
          pattern: values.pattern,
          "apply-to": values["apply-to"],
          priority: whole("priority", values.priority ?? ""),
          definition: pairs("definition", values.definition ?? ""),
        };
        await call("PUT", path(kind, vhost, given?.name ?? values.name ?? ""), body);
        done();
      }}
      done="The policy was set."
      keep={given !== undefined}
    />
  );
}

export function PolicyPage({ vhost, name }: { vhost: string; name: string }) {
  const changes = useTagged("policymaker");
  const polled = usePoll<Policy[]>(path("policies", vhost));
  if (!polled.data) return <Waiting polled={polled} />;
  const policy = polled.data.find((one) => one.name === name);
  if (!policy) return <p class="wrong">There is no such policy.</p>;
  const gone = () => {
    location.hash = "#/policies";
  };
  return (
    <>
      <Title kind="Policy" actions={changes && <ClearPolicy kind="policies" policy={policy} refresh={gone} />}>
        {name}
      </Title>
      <Section title="Facts">
        <Facts
          of={[
            ["Virtual host", vhost],
            ["Pattern", <code>{policy.pattern}</code>],
            ["Applies to", policy["apply-to"]],
            ["Priority", policy.priority],
            ["Definition", <Values of={policy.definition} />],
          ]}
        />
      </Section>
      {changes && (
        <Fold title="Change">
          <PolicyForm kind="policies" vhost={vhost} given={policy} done={polled.refresh} />
        </Fold>
      )}
    </>
  );
}

// --- definitions

export function DefinitionsPage() {
  const vhosts = useVhosts();
  const [scope, setScope] = useState("");
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState("");
  const at = scope === "" ? "definitions" : path("definitions", scope);
  const download = async () => {
    try {
      const found = await get<Json>(at);
      const url = URL.createObjectURL(new Blob([`${JSON.stringify(found, null, 2)}\n`], { type: "application/json" }));
      const anchor = document.createElement("a");
      anchor.href = url;
      anchor.download = `definitions_${(scope || "cluster").replaceAll(/[^\w.-]/g, "_")}_${new Date().toISOString().slice(0, 10)}.json`;
      anchor.click();
      URL.revokeObjectURL(url);
    } catch (error) {
      sayError(error);
    }
  };
  const upload = async (event: Event) => {
    event.preventDefault();
    const input = (event.currentTarget as HTMLFormElement).elements.namedItem("file") as HTMLInputElement;
    const file = input.files?.[0];
    setWrong("");
    if (!file) return setWrong("Choose a file.");
    const lost = <p>What {file.name} defines is added; objects of the same name are changed, users get its passwords.</p>;
    if (!(await confirmed("Import definitions?", lost, "Import"))) return;
    setBusy(true);
    try {
      await call("POST", at, await file.text());
      say("The definitions were imported.");
    } catch (error) {
      if (error instanceof FieldError) throw error;
      setWrong(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Title>Definitions</Title>
      <p class="muted">
        Users, virtual hosts, permissions, policies, queues, exchanges and bindings as one JSON document, as RabbitMQ reads
        and writes it. Messages are not in it.
      </p>
      <div class="form">
        <div class="field">
          <label for="scope">Of</label>
          <div class="control">
            <select id="scope" value={scope} onChange={(event) => setScope(event.currentTarget.value)}>
              <option value="">the whole broker</option>
              {vhosts.map((name) => (
                <option key={name} value={name}>
                  virtual host {name}
                </option>
              ))}
            </select>
          </div>
        </div>
      </div>
      <Section title="Download">
        <button type="button" class="primary" onClick={() => void download()}>
          Download definitions
        </button>
      </Section>
      <Section title="Import">
        <form class="form" onSubmit={(event) => void upload(event)}>
          <div class="field">
            <label for="file">File</label>
            <div class="control">
              <input type="file" id="file" name="file" accept=".json,application/json" aria-describedby="file-wrong" />
              {wrong && (
                <p class="wrong" id="file-wrong" role="alert">
                  {wrong}
                </p>
              )}
            </div>
          </div>
          <div class="buttons">
            <button type="submit" class="primary" disabled={busy}>
              {busy ? "Importing…" : "Import definitions"}
            </button>
          </div>
        </form>
      </Section>
    </>
  );
}
