import { count } from "../format";
import { link } from "../hooks";
import { Features, LongTable, Tag, Values, type Column } from "../ui";
import type { Consumer } from "../types";

const STATES: { [status: string]: [string, string] } = {
  up: ["good", "gets messages"],
  single_active: ["good", "active"],
  waiting: ["", "stands by"],
  blocked: ["warn", "waits for acknowledgements"],
};

export function Consumers({ rows, ofChannel }: { rows: Consumer[]; ofChannel?: boolean }) {
  const columns: Column<Consumer>[] = [
    ofChannel
      ? { title: "Queue", cell: (one) => <a href={link("queues", one.queue.vhost, one.queue.name)}>{one.queue.name}</a> }
      : { title: "Channel", cell: (one) => <a href={link("channels", one.channel_details.name)}>{one.channel_details.name}</a> },
    { title: "Consumer tag", cell: (one) => <code>{one.consumer_tag}</code> },
    {
      title: "State",
      cell: (one) => {
        const [kind, text] = STATES[one.activity_status] ?? ["", one.activity_status];
        return <Tag kind={kind}>{text}</Tag>;
      },
    },
    { title: "Prefetch", number: true, cell: (one) => (one.prefetch_count ? count(one.prefetch_count) : "no limit") },
    {
      title: "Mode",
      cell: (one) => (
        <Features
          of={[
            [!one.ack_required, "no ack", "messages are settled as they are sent"],
            [one.exclusive, "excl", "exclusive"],
          ]}
        />
      ),
    },
    { title: "Arguments", cell: (one) => <Values of={one.arguments} none="" />, wide: true },
  ];
  return (
    <LongTable
      label="Consumers"
      columns={columns}
      rows={rows}
      keyOf={(one) => `${one.channel_details.name} ${one.consumer_tag}`}
      none="Nobody consumes."
    />
  );
}
