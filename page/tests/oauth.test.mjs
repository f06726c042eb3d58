// Login with OAuth 2 in a real Chromium: the code flow with PKCE at a provider of the test.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { after, before, test } from "node:test";
import { DESKTOP, startBroker, startBrowser } from "./harness.mjs";
import { startProvider } from "./provider.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let directory;
let provider;
let broker;
let browser;

/** A broker whose page logs in at the provider. `more`: further settings of the login. */
function brokerWith(more = "") {
  const file = `${directory}/${Math.random()}.toml`;
  writeFileSync(
    file,
    `[access]
backends = ["internal", "oauth2"]
[auth_oauth2]
resource_server_id = "mq"
signing_keys = { one = "${directory}/key.pem" }
[management_oauth]
enabled = true
client_id = "page"
provider_url = "${provider.url}"
${more}`,
  );
  return startBroker({ more: ["--config", file] });
}

before(async () => {
  directory = mkdtempSync(`${tmpdir()}/leveret-page-`);
  provider = await startProvider(`${directory}/key.pem`);
  broker = await brokerWith();
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await broker?.stop();
  await provider?.stop();
  rmSync(directory, { recursive: true });
});

/** Run in a tab of its own, in which no script may fail and the policy may refuse nothing. */
async function visit(run, { at = broker, refused = [] } = {}) {
  Object.assign(provider.settings, { scope: "mq.tag:administrator mq.read:*/* mq.write:*/* mq.configure:*/*", lifetime: 600, answer: {} });
  provider.requests.length = 0;
  const context = await browser.newContext({ viewport: DESKTOP, locale: "en-GB" });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(at.url);
  await run(page, context);
  assert.deepEqual(errors.filter((one) => !refused.some((status) => one.includes(`status of ${status} `))), []);
  await context.close();
}

const logIn = async (page) => {
  await page.getByRole("button", { name: "Log in with single sign-on" }).click();
  await page.locator("main#content").waitFor();
};

const asked = (path) => provider.requests.filter((one) => one.path === path);
const kept = (page) => page.evaluate(() => JSON.parse(sessionStorage.getItem("leveret.oauth.session") ?? "null"));

test("a user logs in at the provider, with PKCE, and returns to the place", () =>
  visit(async (page) => {
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(violations.filter((one) => one.impact === "serious" || one.impact === "critical"), []);
    assert.equal(await page.getByLabel("Password").count(), 0);
    await page.evaluate(() => (location.hash = "#/queues"));
    await logIn(page);
    await page.getByRole("heading", { name: "Queues", level: 1 }).waitFor();
    await page.locator(".user", { hasText: "ada" }).waitFor();
    assert.equal(page.url(), `${broker.url}#/queues`);
    const [{ query }] = asked("/authorize");
    assert.equal(query.get("response_type"), "code");
    assert.equal(query.get("code_challenge_method"), "S256");
    assert.equal(query.get("scope"), "openid profile");
    assert.equal(query.get("redirect_uri"), `${broker.url}js/oidc-oauth/login-callback.html`);
    assert.equal(await page.evaluate(() => Object.keys(localStorage).some((name) => /token|oauth/.test(name))), false);
    await page.reload();
    await page.locator("main#content").waitFor();
    assert.equal(asked("/authorize").length, 1);
  }));

test("an answer with another state is refused, and its code is not used", () =>
  visit(async (page) => {
    provider.settings.answer = { state: "forged" };
    await page.getByRole("button", { name: "Log in with" }).click();
    await page.getByRole("alert").getByText("not for a login of this tab").waitFor();
    assert.equal(asked("/token").length, 0);
    assert.equal(page.url(), broker.url);
  }));

test("what the provider refuses is said", () =>
  visit(async (page) => {
    provider.settings.answer = { error: "access_denied", error_description: "Not today" };
    await page.getByRole("button", { name: "Log in with" }).click();
    await page.getByRole("alert").getByText("The login was refused: Not today").waitFor();
  }));

test("a user without a management tag is not let in", () =>
  visit(
    async (page) => {
      provider.settings.scope = "mq.read:*/*";
      await page.getByRole("button", { name: "Log in with" }).click();
      await page.getByRole("alert").getByText("it has no management tag").waitFor();
      assert.equal(await kept(page), null);
    },
    { refused: [401] },
  ));

test("a token that expires soon is renewed; without a new one the login ends", () =>
  visit(
    async (page) => {
      provider.settings.lifetime = 14;
      await logIn(page);
      const first = await kept(page);
      await page.waitForFunction((old) => JSON.parse(sessionStorage.getItem("leveret.oauth.session")).refresh !== old, first.refresh);
      assert.ok(asked("/token").some((one) => one.form.get("grant_type") === "refresh_token"));
      provider.revoke();
      await page.evaluate(() => sessionStorage.setItem("leveret.token", "Bearer of.the.past"));
      await page.reload();
      await page.getByRole("alert").getByText("The login has ended").waitFor();
      await logIn(page);
    },
    { refused: [400, 401] },
  ));

test("logging out ends the session at the provider, too", () =>
  visit(async (page) => {
    await logIn(page);
    await page.waitForLoadState();
    // The provider sends the browser back: the page is loaded once more.
    await Promise.all([page.waitForEvent("load"), page.getByRole("button", { name: "Log out" }).click()]);
    assert.equal(page.url(), broker.url);
    await page.getByRole("button", { name: "Log in with" }).waitFor();
    const end = asked("/logout");
    assert.equal(end.length, 1);
    assert.ok(end[0].query.get("id_token_hint"));
    assert.equal(asked("/revoke").length, 1);
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  }));

test("names with passwords are offered beside it where that is configured", async () => {
  const both = await brokerWith('disable_basic_auth = false\n[management_oauth.resource_servers.mq]\nlabel = "the company"');
  await visit(
    async (page) => {
      await page.getByRole("button", { name: "Log in with the company" }).waitFor();
      await page.getByLabel("User name").fill("guest");
      await page.getByLabel("Password").fill("guest");
      await page.getByRole("button", { name: "Log in", exact: true }).click();
      await page.locator("main#content").waitFor();
    },
    { at: both },
  );
  await both.stop();
});

test("a provider that starts the login sends the token to /login", async () => {
  const begun = await brokerWith('initiated_logon_type = "idp_initiated"');
  await visit(
    async (page) => {
      await page.getByRole("button", { name: "Log in with" }).waitFor();
      const send = (token) =>
        page.evaluate((value) => {
          const form = document.createElement("form");
          Object.assign(form, { method: "post", action: "login" });
          form.append(Object.assign(document.createElement("input"), { name: "access_token", value }));
          document.body.append(form);
          form.submit();
        }, token);
      await send("a.b.c");
      await page.getByRole("alert").getByText("The login was refused").waitFor();
      await send(provider.token());
      await page.locator(".user", { hasText: "ada" }).waitFor();
    },
    { at: begun },
  );
  await begun.stop();
});
