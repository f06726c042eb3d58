import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { exchangeName } from "../format";
import { link } from "../hooks";
import { sayError, Values, type Column } from "../ui";
import type { Binding } from "../types";

/** How a binding is removed; null if the user may not. */
export const UnbindContext = createContext<((one: Binding) => Promise<void>) | null>(null);

/** The columns of bindings; `end`: the end of a binding that is shown. */
export function bindingColumns(end: "source" | "destination"): Column<Binding>[] {
  return [
    {
      title: end === "source" ? "From exchange" : "To",
      cell: (one) =>
        end === "source" || one.destination_type === "exchange" ? (
          <a href={link("exchanges", one.vhost, (end === "source" ? one.source : one.destination) || "amq.default")}>
            {exchangeName(end === "source" ? one.source : one.destination)}
          </a>
        ) : (
          <a href={link("queues", one.vhost, one.destination)}>{one.destination}</a>
        ),
    },
    ...(end === "destination" ? [{ title: "Kind", cell: (one: Binding) => one.destination_type }] : []),
    { title: "Routing key", cell: (one) => (one.routing_key ? <code>{one.routing_key}</code> : <span class="muted">(empty)</span>) },
    { title: "Arguments", cell: (one) => <Values of={one.arguments} none="" />, wide: true },
    { title: "", cell: (one) => <Unbind one={one} /> },
  ];
}

function Unbind({ one }: { one: Binding }) {
  const unbind = useContext(UnbindContext);
  if (unbind === null || one.source === "") return null;
  return (
    <button type="button" class="small danger" onClick={() => void unbind(one).catch(sayError)}>
      Unbind
    </button>
  );
}
