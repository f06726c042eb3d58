// Login with OAuth 2: the authorization code flow with PKCE (RFC 6749, RFC 7636), as `management.oauth_*` configures it.
import { renewWith, type Renewal } from "./api";

/** A resource server to which users can log in, by RabbitMQ's names. */
export interface ResourceServer {
  id: string;
  index: number;
  label?: string;
  oauth_provider_url: string;
  oauth_metadata_url?: string;
  oauth_client_id?: string;
  oauth_scopes?: string;
  oauth_initiated_logon_type?: string;
  end_session_endpoint?: string;
  oauth_authorization_endpoint_params?: Record<string, string>;
  oauth_token_endpoint_params?: Record<string, string>;
}

/** How this broker lets users log in. `access_token`: one that a provider has sent. */
export interface LoginOptions {
  oauth_enabled: boolean;
  oauth_resource_servers?: Record<string, ResourceServer>;
  oauth_disable_basic_auth?: boolean;
  oauth_client_id?: string;
  oauth_scopes?: string;
  oauth_initiated_logon_type?: string;
  access_token?: string;
}

interface Metadata {
  issuer?: string;
  authorization_endpoint: string;
  token_endpoint: string;
  revocation_endpoint?: string;
  end_session_endpoint?: string;
}

/** A login that has left the page for the provider. */
interface Pending {
  state: string;
  verifier: string;
  server: ResourceServer;
  /** The place to return to. */
  hash: string;
}

/** What is kept of a login, in this tab only. `expires`: ms since the epoch. */
interface Session {
  server: ResourceServer;
  refresh?: string;
  identity?: string;
  expires?: number;
}

interface Tokens {
  access_token?: string;
  refresh_token?: string;
  id_token?: string;
  expires_in?: number;
  error?: string;
  error_description?: string;
}

/** Why a login has failed, as a sentence for the user. */
export class LoginError extends Error {}

const PENDING = "leveret.oauth.pending";
const SESSION = "leveret.oauth.session";
const SCOPES = "openid profile";
/** A token is renewed when it is valid for less than this. */
const RENEW_BEFORE_MS = 15_000;

// --- settings

/** Ask how users log in. The cookie with a token that a provider has sent goes along. */
export async function loginOptions(): Promise<LoginOptions> {
  try {
    const answer = await fetch("api/leveret/auth", { cache: "no-store", credentials: "same-origin" });
    if (answer.ok) return (await answer.json()) as LoginOptions;
  } catch {
    // The login form says that the broker does not answer.
  }
  return { oauth_enabled: false };
}

/** The resource servers in their order, with what they share. */
export function resourceServers(options: LoginOptions): ResourceServer[] {
  return Object.values(options.oauth_resource_servers ?? {})
    .sort((a, b) => a.index - b.index)
    .map((server) => ({
      ...server,
      oauth_client_id: server.oauth_client_id ?? options.oauth_client_id ?? "",
      oauth_scopes: server.oauth_scopes ?? options.oauth_scopes ?? SCOPES,
      oauth_initiated_logon_type: server.oauth_initiated_logon_type ?? options.oauth_initiated_logon_type ?? "sp_initiated",
    }));
}

// --- to the provider and back

/** Send the browser to the provider. Throws `LoginError`. */
export async function begin(server: ResourceServer): Promise<void> {
  if (server.oauth_initiated_logon_type === "idp_initiated") return leave(server.oauth_provider_url);
  if (!crypto.subtle) throw new LoginError("Browsers allow this login only over https, or on localhost.");
  const { authorization_endpoint } = await metadata(server);
  const pending: Pending = { state: random(), verifier: random(), server, hash: location.hash };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  leave(authorization_endpoint, {
    ...server.oauth_authorization_endpoint_params,
    response_type: "code",
    client_id: server.oauth_client_id ?? "",
    redirect_uri: callback(),
    scope: server.oauth_scopes ?? SCOPES,
    state: pending.state,
    code_challenge: await challenge(pending.verifier),
    code_challenge_method: "S256",
  });
}

/** Whether the address is an answer of a provider. */
export function isAnswer(): boolean {
  const query = new URLSearchParams(location.search);
  return query.has("error") || (query.has("code") && query.has("state"));
}

/** Finish a login with the answer in the address; returns the token. Throws `LoginError`. */
export async function finish(): Promise<string> {
  const query = new URLSearchParams(location.search);
  const kept = sessionStorage.getItem(PENDING);
  const pending = kept === null ? null : (JSON.parse(kept) as Pending);
  sessionStorage.removeItem(PENDING);
  history.replaceState(null, "", `${location.pathname}${pending?.hash ?? ""}`);
  dispatchEvent(new HashChangeEvent("hashchange"));
  if (query.get("error")) throw new LoginError(refusal(query.get("error") ?? "", query.get("error_description")));
  if (pending === null || query.get("state") !== pending.state) {
    throw new LoginError("The provider's answer is not for a login of this tab. Please log in again.");
  }
  const found = await metadata(pending.server);
  const issuer = query.get("iss");
  if (issuer !== null && found.issuer !== undefined && issuer !== found.issuer) {
    throw new LoginError(`The answer is of another provider: ${issuer}`);
  }
  const tokens = await ask(found.token_endpoint, {
    ...pending.server.oauth_token_endpoint_params,
    grant_type: "authorization_code",
    code: query.get("code") ?? "",
    redirect_uri: callback(),
    client_id: pending.server.oauth_client_id ?? "",
    code_verifier: pending.verifier,
  });
  return keep(pending.server, tokens);
}

// --- the session

/** Renew the token by the session of this tab, if it has one. */
export function goOn(): void {
  renewWith(session() === null ? null : RENEWAL);
}

const RENEWAL: Renewal = {
  isDue: () => {
    const { refresh, expires } = session() ?? {};
    return refresh !== undefined && expires !== undefined && expires - Date.now() < RENEW_BEFORE_MS;
  },
  renew: async () => {
    const current = session();
    if (current?.refresh === undefined) return null;
    try {
      const tokens = await ask((await metadata(current.server)).token_endpoint, {
        ...current.server.oauth_token_endpoint_params,
        grant_type: "refresh_token",
        refresh_token: current.refresh,
        client_id: current.server.oauth_client_id ?? "",
      });
      return keep(current.server, { refresh_token: current.refresh, id_token: current.identity ?? "", ...tokens });
    } catch (error) {
      if (error instanceof LoginError) return null;
      throw error;
    }
  },
};

/** Forget the session of this tab. */
export function forget(): void {
  sessionStorage.removeItem(SESSION);
  renewWith(null);
}

/** End the session at the provider, too; returns whether the browser goes there. */
export async function endSession(): Promise<boolean> {
  const current = session();
  forget();
  if (current === null || current.server.oauth_initiated_logon_type === "idp_initiated") return false;
  try {
    const found = await metadata(current.server);
    if (found.revocation_endpoint && current.refresh) {
      const token = { token: current.refresh, token_type_hint: "refresh_token", client_id: current.server.oauth_client_id ?? "" };
      await post(found.revocation_endpoint, token);
    }
    const end = current.server.end_session_endpoint ?? found.end_session_endpoint;
    if (!end) return false;
    leave(end, {
      ...(current.identity ? { id_token_hint: current.identity } : {}),
      client_id: current.server.oauth_client_id ?? "",
      post_logout_redirect_uri: home(),
    });
    return true;
  } catch {
    return false; // the session of this tab has ended in any case
  }
}

function session(): Session | null {
  const kept = sessionStorage.getItem(SESSION);
  return kept === null ? null : (JSON.parse(kept) as Session);
}

function keep(server: ResourceServer, tokens: Tokens): string {
  if (!tokens.access_token) throw new LoginError("The provider has sent no token.");
  const kept: Session = {
    server,
    ...(tokens.refresh_token ? { refresh: tokens.refresh_token } : {}),
    ...(tokens.id_token ? { identity: tokens.id_token } : {}),
    ...(tokens.expires_in ? { expires: Date.now() + tokens.expires_in * 1000 } : {}),
  };
  sessionStorage.setItem(SESSION, JSON.stringify(kept));
  goOn();
  return tokens.access_token;
}

// --- the provider

/** The endpoints of a provider. Throws `LoginError`. */
async function metadata(server: ResourceServer): Promise<Metadata> {
  const at = server.oauth_metadata_url ?? `${server.oauth_provider_url.replace(/\/$/, "")}/.well-known/openid-configuration`;
  try {
    const answer = await fetch(at, { credentials: "omit" });
    const found = (await answer.json()) as Metadata;
    if (answer.ok && isWeb(found.authorization_endpoint) && isWeb(found.token_endpoint)) return found;
  } catch {
    throw new LoginError(`The provider does not answer: ${at}`);
  }
  throw new LoginError(`This is not the metadata of an OpenID provider: ${at}`);
}

/** Ask for tokens. Throws `LoginError`. */
async function ask(at: string, form: Record<string, string>): Promise<Tokens> {
  let tokens: Tokens;
  try {
    tokens = (await (await post(at, form)).json()) as Tokens;
  } catch {
    throw new LoginError(`The provider does not give a token: ${at}`);
  }
  if (tokens.error) throw new LoginError(refusal(tokens.error, tokens.error_description));
  return tokens;
}

function post(at: string, form: Record<string, string>): Promise<Response> {
  return fetch(at, { method: "POST", credentials: "omit", cache: "no-store", body: new URLSearchParams(form) });
}

function refusal(error: string, description: string | null | undefined): string {
  return `The login was refused: ${description || error}`;
}

function leave(at: string, parameters: Record<string, string> = {}): void {
  const url = new URL(at);
  if (!isWeb(at)) throw new LoginError(`This is no address of a provider: ${at}`);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  location.assign(url);
}

const isWeb = (url: unknown): boolean => typeof url === "string" && /^https?:\/\//.test(url);

/** The address of the page. */
const home = (): string => new URL(".", `${location.origin}${location.pathname}`).href;

/** Where a provider sends the browser back to: RabbitMQ's address. */
const callback = (): string => `${home()}js/oidc-oauth/login-callback.html`;

// --- PKCE

const random = (): string => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function challenge(verifier: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

function base64url(octets: Uint8Array): string {
  return btoa(String.fromCharCode(...octets)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
