import { useShared, vhost } from "../hooks";
import { useVhosts } from "../session";
import type { Column } from "../ui";

/** The column of virtual hosts, if several are shown. */
export function useVhostColumn<T extends { vhost: string }>(): Column<T>[] {
  const chosen = useShared(vhost);
  const several = useVhosts().length > 1;
  if (chosen !== "" || !several) return [];
  return [{ title: "Virtual host", sort: "vhost", cell: (one) => one.vhost, wide: true }];
}

/** Where new objects go: the virtual host that is chosen, else the first. */
export function useTarget(): string {
  const chosen = useShared(vhost);
  const all = useVhosts();
  return chosen || (all.includes("/") ? "/" : (all[0] ?? ""));
}
