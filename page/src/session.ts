// Who is logged in, and what that user may do.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { enc, tagged, type User } from "./api";
import { usePoll } from "./hooks";
import type { May, Vhost } from "./types";

export const UserContext = createContext<User>({ name: "", tags: [] });

/** What the broker says of itself. `testing`: it serves tests: clock, faults, history. */
export interface About {
  version: string;
  profile: string;
  cluster_name: string;
  testing?: boolean;
}

export const AboutContext = createContext<About | undefined>(undefined);

export const useAbout = (): About | undefined => useContext(AboutContext);

export const useUser = (): User => useContext(UserContext);

/** Whether the user has one of these tags. */
export function useTagged(...tags: string[]): boolean {
  return tagged(useUser(), ...tags);
}

const NOTHING: May = { configure: false, write: false, read: false };
const RARELY_MS = 30_000;

/** What the user may do with objects of a name in a virtual host; without a name, with any. Nothing until it is known. */
export function useMay(vhost: string, name?: string): May {
  const query = name === undefined ? "" : `?name=${enc(name)}`;
  const polled = usePoll<May>(vhost === "" ? null : `leveret/permissions/${enc(vhost)}${query}`, { every: RARELY_MS });
  return polled.data ?? NOTHING;
}

/** The virtual hosts that the user sees. */
export function useVhosts(): string[] {
  const polled = usePoll<Vhost[]>("vhosts?columns=name", { every: RARELY_MS });
  return polled.data?.map((one) => one.name) ?? [];
}
