// Connections and channels.
import { call, path } from "../api";
import { bytes, count, date, rate } from "../format";
import { link, usePoll } from "../hooks";
import { List } from "../list";
import { Chart, useSamples } from "../chart";
import { Act, Facts, Features, Figure, Section, State, LongTable, Tag, Title, Values, Waiting, type Column } from "../ui";
import { rateOf, type Channel, type Connection, type Counts } from "../types";
import { Consumers } from "./consumers";
import { useVhostColumn } from "./common";

const clientOf = (one: Connection) =>
  [one.client_properties.product, one.client_properties.version].filter((part) => typeof part === "string").join(" ");

export function ConnectionsPage() {
  const columns: Column<Connection>[] = [
    {
      title: "Name",
      sort: "name",
      cell: (one) => (
        <>
          <a href={link("connections", one.name)}>{one.user_provided_name ?? one.name}</a>
          {one.user_provided_name && <div class="second">{one.name}</div>}
        </>
      ),
    },
    ...useVhostColumn<Connection>(),
    { title: "User", sort: "user", cell: (one) => one.user },
    { title: "State", sort: "state", cell: (one) => <State value={one.state} /> },
    { title: "TLS", sort: "ssl", cell: (one) => (one.ssl ? "yes" : "no"), wide: true },
    { title: "Client", sort: "client_properties.product", cell: clientOf, wide: true },
    { title: "Channels", sort: "channels", number: true, cell: (one) => count(one.channels) },
    { title: "From client", sort: "recv_oct_details.rate", number: true, cell: (one) => octets(one.recv_oct_details?.rate) },
    { title: "To client", sort: "send_oct_details.rate", number: true, cell: (one) => octets(one.send_oct_details?.rate) },
  ];
  return (
    <>
      <Title>Connections</Title>
      <List<Connection>
        of="connections"
        byVhost={(vhost) => path("vhosts", vhost, "connections")}
        label="Connections"
        columns={columns}
        keyOf={(one) => one.name}
        none="No client is connected."
      />
    </>
  );
}

const octets = (perSecond: number | undefined) => (perSecond === undefined ? "–" : `${bytes(perSecond)}/s`);

export function ConnectionPage({ name }: { name: string }) {
  const dataSamples = useSamples("data_rates");
  const polled = usePoll<Connection>(`${path("connections", name)}?${dataSamples}`);
  const channels = usePoll<Channel[]>(path("connections", name, "channels"));
  const one = polled.data;
  if (!one) return <Waiting polled={polled} />;
  const close = async () => {
    await call("DELETE", path("connections", name), undefined, { "X-Reason": "Closed via management page" });
    location.hash = "#/connections";
  };
  return (
    <>
      <Title
        kind="Connection"
        tags={
          <>
            <State value={one.state} /> {one.ssl && <Tag kind="good">TLS</Tag>}
          </>
        }
        actions={
          <Act
            label="Close connection"
            danger
            lost={
              <p>
                The client is disconnected. {count(one.channels)} channels end, and what they have not acknowledged is
                requeued.
              </p>
            }
            run={close}
            done="The connection was closed."
          />
        }
      >
        {one.user_provided_name ?? one.name}
      </Title>
      <div class="charts">
        <Chart
          title="Octets per second"
          counts={one as unknown as Counts}
          perSecond
          octets
          series={[
            { name: "From client", field: "recv_oct", colour: 1 },
            { name: "To client", field: "send_oct", colour: 2 },
          ]}
        />
      </div>
      <Section title="Channels">
        {channels.data ? <ChannelTable rows={channels.data} /> : <Waiting polled={channels} />}
      </Section>
      <Section title="Facts">
        <Facts
          of={[
            ["Name", <code>{one.name}</code>],
            ["User", one.user],
            ["Virtual host", <a href={link("vhosts", one.vhost)}>{one.vhost}</a>],
            ["Connected", date(one.connected_at)],
            ["Login", one.auth_mechanism],
            ["Heartbeat", one.timeout ? `${one.timeout} s` : "none"],
            ["Frame size, at most", bytes(one.frame_max)],
            ["Channels, at most", count(one.channel_max)],
            ["Client properties", <Values of={one.client_properties} />],
          ]}
        />
      </Section>
    </>
  );
}

// --- channels

const channelColumns: Column<Channel>[] = [
  { title: "Channel", sort: "name", cell: (one) => <a href={link("channels", one.name)}>{one.name}</a> },
  { title: "User", sort: "user", cell: (one) => one.user, wide: true },
  {
    title: "Mode",
    cell: (one) => (
      <Features
        of={[
          [one.confirm, "C", "publisher confirms"],
          [one.transactional, "T", "transactions"],
        ]}
      />
    ),
    wide: true,
  },
  { title: "State", sort: "state", cell: (one) => <State value={one.state} />, wide: true },
  { title: "Prefetch", sort: "prefetch_count", number: true, cell: (one) => one.prefetch_count || "no limit" },
  { title: "Consumers", sort: "consumer_count", number: true, cell: (one) => count(one.consumer_count) },
  { title: "Unacked", sort: "messages_unacknowledged", number: true, cell: (one) => count(one.messages_unacknowledged) },
  { title: "Unconfirmed", sort: "messages_unconfirmed", number: true, wide: true, cell: (one) => count(one.messages_unconfirmed) },
  {
    title: "Publish",
    sort: "message_stats.publish_details.rate",
    number: true,
    cell: (one) => rate(rateOf(one.message_stats, "publish")),
  },
  {
    title: "Deliver",
    sort: "message_stats.deliver_get_details.rate",
    number: true,
    cell: (one) => rate(rateOf(one.message_stats, "deliver_get")),
  },
];

export function ChannelsPage() {
  return (
    <>
      <Title>Channels</Title>
      <List<Channel>
        of="channels"
        byVhost={(vhost) => path("vhosts", vhost, "channels")}
        label="Channels"
        columns={channelColumns}
        keyOf={(one) => one.name}
        none="No channel is open."
      />
    </>
  );
}

function ChannelTable({ rows }: { rows: Channel[] }) {
  return <LongTable label="Channels" columns={channelColumns} rows={rows} keyOf={(one) => one.name} none="No channel is open." />;
}

export function ChannelPage({ name }: { name: string }) {
  const samples = useSamples("lengths", "msg_rates");
  const polled = usePoll<Channel>(`${path("channels", name)}?${samples}`);
  const one = polled.data;
  if (!one) return <Waiting polled={polled} />;
  return (
    <>
      <Title
        kind="Channel"
        tags={
          <>
            <State value={one.state} /> {one.confirm && <Tag>confirms</Tag>} {one.transactional && <Tag>transactions</Tag>}
          </>
        }
      >
        {one.name}
      </Title>
      <div class="figures">
        <Figure name="Unacked" value={count(one.messages_unacknowledged)} />
        <Figure name="Unconfirmed" value={count(one.messages_unconfirmed)} />
        <Figure name="Prefetch" value={one.prefetch_count || "no limit"} />
        <Figure name="Uncommitted" value={count(one.messages_uncommitted + one.acks_uncommitted)} />
      </div>
      <div class="charts">
        <Chart
          title="Message rates"
          counts={one.message_stats}
          perSecond
          series={[
            { name: "Publish", field: "publish", colour: 1 },
            { name: "Deliver", field: "deliver_get", colour: 2 },
            { name: "Acknowledge", field: "ack", colour: 3 },
            { name: "Redeliver", field: "redeliver", colour: 4 },
          ]}
        />
      </div>
      <Section title="Consumers">
        <Consumers rows={one.consumer_details ?? []} ofChannel />
      </Section>
      <Section title="Facts">
        <Facts
          of={[
            ["Connection", <a href={link("connections", one.connection_details.name)}>{one.connection_details.name}</a>],
            ["User", one.user],
            ["Virtual host", one.vhost],
            ["Prefetch of the channel", one.global_prefetch_count || undefined],
          ]}
        />
      </Section>
    </>
  );
}
