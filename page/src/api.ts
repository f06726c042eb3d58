// The HTTP API: login, requests, and what the user may do.

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

/** An answer with an error status. `reason`: the API's text. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    readonly body: unknown = null,
  ) {
    super(reason);
  }
}

export interface User {
  name: string;
  tags: string[];
}

const TOKEN = "leveret.token";
const UNTIL = "leveret.until";

let token: string | null = null;
let onSignOut: ((reason: string) => void) | null = null;
let onReachable: ((reachable: boolean) => void) | null = null;

/** Register what to do when the login ends, and when the broker is lost or found again. */
export function listen(signedOut: (reason: string) => void, reachable: (reachable: boolean) => void): void {
  onSignOut = signedOut;
  onReachable = reachable;
}

/** How a token is replaced by a new one. `renew`: returns null if there is none any more. */
export interface Renewal {
  isDue: () => boolean;
  renew: () => Promise<string | null>;
}

let renewal: Renewal | null = null;
let renewing: Promise<boolean> | null = null;

/** Replace the token of the login in this way from now on; null: not at all. */
export function renewWith(given: Renewal | null): void {
  renewal = given;
}

/** Renew the token; requests of the same moment wait for one renewal. Returns whether there is a new one. */
function renew(): Promise<boolean> {
  if (renewal === null) return Promise.resolve(false);
  renewing ??= renewal
    .renew()
    .then((fresh) => (fresh === null ? false : (useToken(fresh), true)))
    .finally(() => (renewing = null));
  return renewing;
}

export const enc = encodeURIComponent;

/** Make a path of names, each encoded: `path("queues", "/", "q")` is `queues/%2F/q`. */
export function path(...segments: (string | number)[]): string {
  return segments.map(enc).join("/");
}

/** Make a request; returns the decoded body, or null. Throws `ApiError`. */
export async function call<T = unknown>(
  method: string,
  at: string,
  body?: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<T> {
  const renewed = renewal?.isDue() === true && (await renew());
  try {
    return await request<T>(method, at, body, headers, signal);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401 && token !== null && isLoginError(error.body))) throw error;
    if (renewed || !(await renew())) {
      signOut("The login has ended. Please log in again.");
      throw error;
    }
    return request<T>(method, at, body, headers, signal);
  }
}

async function request<T>(
  method: string,
  at: string,
  body: unknown,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(`api/${at}`, {
      method,
      credentials: "omit",
      cache: "no-store",
      headers: {
        ...(token === null ? {} : { Authorization: token }),
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    onReachable?.(false);
    throw new ApiError(0, "The broker does not answer.");
  }
  onReachable?.(true);
  const text = await answer.text();
  const decoded = decode(text);
  if (answer.ok) return decoded as T;
  throw new ApiError(answer.status, reasonOf(decoded, answer), decoded);
}

export const get = <T>(at: string, signal?: AbortSignal): Promise<T> => call<T>("GET", at, undefined, {}, signal);

function decode(text: string): unknown {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function reasonOf(decoded: unknown, answer: Response): string {
  if (decoded !== null && typeof decoded === "object" && "reason" in decoded) return plain(decoded.reason);
  if (answer.status === 404) return "Not found";
  return answer.statusText || `Status ${answer.status}`;
}

function plain(reason: unknown): string {
  if (typeof reason === "string") return reason.trim();
  return Array.isArray(reason) ? reason.map(plain).join(": ") : JSON.stringify(reason);
}

/** Whether the login itself was refused, and not what the user wanted to do. */
function isLoginError(decoded: unknown): boolean {
  return decoded === null || (typeof decoded === "object" && "error" in decoded && decoded.error === "not_authorized");
}

// --- login

interface Login {
  user: User & { login_session_timeout?: number };
  token: { type: string; value: string };
}

/** Log in; returns the user. Throws `ApiError`. */
export async function signIn(name: string, password: string): Promise<User> {
  token = null;
  const form = new URLSearchParams({ username: name, password });
  const found = await call<Login>("POST", "login", form.toString(), {
    "Content-Type": "application/x-www-form-urlencoded",
  });
  token = `Basic ${found.token.value}`;
  sessionStorage.setItem(TOKEN, token);
  const minutes = found.user.login_session_timeout;
  if (minutes) sessionStorage.setItem(UNTIL, String(Date.now() + minutes * 60_000));
  return userOf(found.user);
}

/** Log in with a token of OAuth 2; returns the user. Throws `ApiError`. */
export async function signInWith(bearer: string): Promise<User> {
  useToken(bearer);
  try {
    return userOf(await request<User>("GET", "whoami", undefined, {}, undefined));
  } catch (error) {
    forgetToken();
    throw error;
  }
}

function useToken(bearer: string): void {
  token = `Bearer ${bearer}`;
  sessionStorage.setItem(TOKEN, token);
}

function forgetToken(): void {
  token = null;
  sessionStorage.removeItem(TOKEN);
  sessionStorage.removeItem(UNTIL);
}

/** Return the user of the login that this tab has, or null. */
export async function resume(): Promise<User | null> {
  token = sessionStorage.getItem(TOKEN);
  if (token === null || expired()) return null;
  return userOf(await get<User>("whoami"));
}

export function expired(): boolean {
  const until = sessionStorage.getItem(UNTIL);
  return until !== null && Number(until) < Date.now();
}

/** End the login. `reason`: why, unless the user wanted it. */
export function signOut(reason = ""): void {
  if (token === null) return; // several requests were refused at the same moment
  forgetToken();
  onSignOut?.(reason);
}

function userOf(shown: User | (Omit<User, "tags"> & { tags: string })): User {
  const tags = typeof shown.tags === "string" ? shown.tags.split(",") : shown.tags;
  return { name: shown.name, tags: tags.map((tag) => tag.trim()).filter(Boolean) };
}

/** Whether the user has one of these tags; an administrator has them all. */
export function tagged(user: User, ...tags: string[]): boolean {
  return user.tags.includes("administrator") || tags.some((tag) => user.tags.includes(tag));
}
