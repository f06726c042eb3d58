// A small OpenID provider: signs tokens, checks PKCE, and lets every user in at once.
import { createHash, createSign, generateKeyPairSync, randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Start a provider. `settings` can be changed while it runs: `scope`, `lifetime` (s), `answer` (of the authorization). */
export async function startProvider(keyFile) {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(keyFile, publicKey.export({ type: "spki", format: "pem" }));
  const settings = { scope: "mq.tag:administrator mq.read:*/* mq.write:*/* mq.configure:*/*", lifetime: 600, answer: {} };
  const requests = [];
  const codes = new Map();
  let refresh = "";

  const token = () => {
    const claims = { sub: "ada", aud: "mq", scope: settings.scope, exp: Math.floor(Date.now() / 1000) + settings.lifetime, jti: randomUUID() };
    const signed = `${encoded({ alg: "RS256", kid: "one", typ: "JWT" })}.${encoded(claims)}`;
    return `${signed}.${createSign("RSA-SHA256").update(signed).sign(privateKey, "base64url")}`;
  };
  const tokens = () => {
    refresh = randomUUID();
    return { access_token: token(), id_token: token(), refresh_token: refresh, token_type: "Bearer", expires_in: settings.lifetime };
  };
  const granted = (form) => {
    if (form.get("grant_type") === "refresh_token") return form.get("refresh_token") === refresh && refresh !== "" ? tokens() : null;
    const begun = codes.get(form.get("code"));
    codes.delete(form.get("code"));
    const proof = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
    const same = begun?.get("client_id") === form.get("client_id") && begun?.get("redirect_uri") === form.get("redirect_uri");
    return same && proof === begun.get("code_challenge") ? tokens() : null;
  };

  const paths = {
    "/.well-known/openid-configuration": (_, base) => ({
      issuer: base,
      authorization_endpoint: `${base}/authorize`,
      token_endpoint: `${base}/token`,
      revocation_endpoint: `${base}/revoke`,
      end_session_endpoint: `${base}/logout`,
      jwks_uri: `${base}/keys`,
    }),
    "/token": (form) => granted(form) ?? { error: "invalid_grant" },
    "/revoke": () => ((refresh = ""), {}),
  };
  const redirects = {
    "/authorize": (query) => {
      const code = randomUUID();
      codes.set(code, query);
      return [query.get("redirect_uri"), { code, state: query.get("state"), ...settings.answer }];
    },
    "/logout": (query) => [query.get("post_logout_redirect_uri"), {}],
  };
  const server = createServer(async (request, response) => {
    const base = `http://127.0.0.1:${server.address().port}`;
    const url = new URL(request.url, base);
    let body = "";
    for await (const part of request) body += part;
    const form = new URLSearchParams(body);
    requests.push({ path: url.pathname, query: url.searchParams, form });
    const redirect = redirects[url.pathname]?.(url.searchParams);
    if (redirect) {
      const target = new URL(redirect[0]);
      for (const [name, value] of Object.entries(redirect[1])) target.searchParams.set(name, value);
      return response.writeHead(302, { Location: String(target) }).end();
    }
    const answer = paths[url.pathname]?.(form, base);
    const status = answer === undefined ? 404 : answer.error ? 400 : 200;
    response.writeHead(status, { "Content-Type": "application/json", "Access-Control-Allow-Origin": "*" });
    response.end(JSON.stringify(answer ?? {}));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    settings,
    requests,
    token,
    /** Refuse to renew what was given so far. */
    revoke: () => (refresh = ""),
    stop: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}
