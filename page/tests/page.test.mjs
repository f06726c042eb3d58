// The management page in a real Chromium: every view, every action, permissions, many queues, a broker that restarts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { DESKTOP, go, HAS_TOOLKIT, openPage, PHONE, startBroker, startBrowser, startToolkit, startTraffic } from "./harness.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const MANY = Number(process.env.PAGE_QUEUES ?? 50_000);

let broker;
let traffic;
let browser;
let node;

before(async () => {
  broker = await startBroker();
  browser = await startBrowser();
  traffic = await startTraffic(broker);
  await broker.api("PUT", "users/worker", { password: "w", tags: "management" });
  await broker.api("PUT", "permissions/%2F/worker", { configure: "^mine", write: "^mine", read: ".*" });
  await broker.api("PUT", "users/viewer", { password: "v", tags: "monitoring" });
  await broker.api("PUT", "policies/%2F/limits", { pattern: "^sms$", definition: { "max-length": 5000 }, "apply-to": "queues" });
  await broker.api("PUT", "queues/%2F/temporary", { durable: false });
  [{ name: node }] = await broker.api("GET", "nodes?columns=name");
});

after(async () => {
  await browser?.close();
  await traffic?.stop();
  await broker?.stop();
});

/** Run in a page of its own, in which no error may be reported. */
async function visit(options, run) {
  const page = await openPage(browser, options.broker ?? broker, options);
  try {
    await run(page);
    const refused = (options.refused ?? []).map((status) => `the server responded with a status of ${status} `);
    const errors = page.errors.filter((one) => !refused.some((text) => one.includes(text)));
    assert.deepEqual(errors, []);
  } finally {
    await page.context().close();
  }
}

/** axe finds nothing serious. */
async function serious(page, at) {
  const wrong = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run();
    return violations
      .filter((one) => one.impact === "serious" || one.impact === "critical")
      .map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join("\n")}`);
  });
  assert.deepEqual(wrong, [], at);
}

const connection = async () => (await broker.api("GET", "connections?columns=name"))[0].name;
const channel = async () => (await broker.api("GET", "channels?columns=name"))[0].name;

/** Every view, with a text that it must show. */
async function views() {
  return [
    ["#/", "Message rates"],
    ["#/connections", "checkout"],
    [`#/connections/${encodeURIComponent(await connection())}`, "Octets per second"],
    ["#/channels", "Prefetch"],
    [`#/channels/${encodeURIComponent(await channel())}`, "Unconfirmed"],
    ["#/exchanges", "orders.audit"],
    ["#/exchanges?view=picture", "order.created.#"],
    ["#/exchanges/%2F/orders", "Who feeds whom"],
    ["#/exchanges/%2F/amq.default", "(default)"],
    ["#/queues", "orders.invoices"],
    ["#/queues/%2F/emails", "emails.wait"],
    ["#/queues/%2F/orders.new", "Delivery limit"],
    ["#/queues/%2F/audit.log", "Segments"],
    ["#/streams", "audit.log"],
    ["#/users", "administrator"],
    ["#/users/worker", "^mine"],
    ["#/vhosts", "Unacked"],
    ["#/vhosts/%2F", "guest"],
    ["#/policies", "max-length"],
    ["#/policies/%2F/limits", "^sms$"],
    ["#/limits", "No virtual host has a limit"],
    ["#/definitions", "Download definitions"],
    ["#/lint", "temporary"],
    ["#/log", "Server startup complete"],
    [`#/nodes/${encodeURIComponent(node)}`, "Data directory"],
    ["#/nowhere", "There is no such page"],
  ];
}

for (const [name, options] of [
  ["light", {}],
  ["dark", { dark: true }],
  ["on a phone", { viewport: PHONE }],
]) {
  test(`every view is shown, ${name}, and axe finds nothing serious`, () =>
    visit(options, async (page) => {
      await page.evaluate(AXE);
      for (const [at, text] of await views()) {
        await go(page, at);
        await page.locator("main").filter({ hasText: text }).waitFor();
        await serious(page, at);
        const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(tooWide <= 0, `${at} is ${tooWide} pixels too wide`);
      }
    }));
}

test("a wrong password is said, and the name stays", async () => {
  const context = await browser.newContext({ viewport: DESKTOP });
  const page = await context.newPage();
  await page.goto(broker.url);
  await page.getByLabel("User name").fill("guest");
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("User name or password is wrong").waitFor();
  assert.equal(await page.getByLabel("User name").inputValue(), "guest");
  await context.close();
});

test("a login lasts over a reload, and logging out ends it", () =>
  visit({}, async (page) => {
    await page.reload();
    await page.locator("main#content").waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("User name").waitFor();
    await page.reload();
    await page.getByLabel("User name").waitFor();
  }));

/** Fill the form that is folded under a title, and send it. */
async function fill(page, title, values, verb) {
  const fold = page.locator("details.fold").filter({ has: page.locator("summary", { hasText: new RegExp(`^${title}`) }) }).last();
  // The page opens some by itself when their data comes: a click at that moment closes them.
  while ((await fold.getAttribute("open")) === null) await fold.locator("summary").first().click();
  for (const [label, value] of Object.entries(values)) {
    const field = fold.getByLabel(label, { exact: true });
    if (typeof value === "boolean") await field.setChecked(value);
    else if ((await field.evaluate((element) => element.tagName)) === "SELECT") await field.selectOption(value);
    else await field.fill(value);
  }
  await fold.getByRole("button", { name: verb, exact: true }).click();
  return fold;
}

async function confirm(page, verb) {
  await page.getByRole("dialog").getByRole("button", { name: verb, exact: true }).click();
}

const said = (page, text) => page.locator(".notes").getByText(text).waitFor();

test("a queue is declared, bound, filled, looked at, purged and deleted", () =>
  visit({}, async (page) => {
    await go(page, "#/queues");
    await fill(page, "Add a queue", { Name: "mine.1", Type: "classic", Arguments: "x-max-length = 5" }, "Add queue");
    await page.getByRole("heading", { name: "mine.1", level: 1 }).waitFor();
    assert.equal((await broker.api("GET", "queues/%2F/mine.1")).arguments["x-max-length"], 5);

    await fill(page, "Bind to an exchange", { "From exchange": "amq.topic", "Routing key": "a.*" }, "Bind");
    await said(page, "The queue was bound.");
    await page.getByRole("button", { name: "Unbind" }).click();
    await confirm(page, "Unbind");
    await page.getByText("a.*").waitFor({ state: "detached" });

    for (const payload of ["first", '{"a": [1, 2]}']) {
      await fill(page, "Publish a message to this queue", { Payload: payload, Persistent: true, Properties: "content_type = text/x-test" }, "Publish");
      await said(page, "The message was published and routed.");
    }
    await page.getByRole("button", { name: "Look at messages" }).click();
    await page.getByText("text/x-test").first().waitFor();
    assert.equal(await page.locator(".message").count(), 2);
    assert.equal((await broker.api("GET", "queues/%2F/mine.1")).messages_ready, 2);

    await fill(page, "Get messages", { Messages: "1", Then: "remove" }, "Get messages");
    await confirm(page, "Get and remove");
    await page.locator("pre", { hasText: "first" }).nth(1).waitFor();
    assert.equal((await broker.api("GET", "queues/%2F/mine.1")).messages_ready, 1);

    await page.getByRole("button", { name: "Purge" }).click();
    await confirm(page, "Purge");
    await said(page, "The queue was purged.");
    assert.equal((await broker.api("GET", "queues/%2F/mine.1")).messages_ready, 0);

    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByText("The queue is deleted with its").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await broker.api("GET", "queues/%2F/mine.1");
    await page.getByRole("button", { name: "Delete" }).click();
    await confirm(page, "Delete");
    await said(page, "Queue mine.1 was deleted.");
    await assert.rejects(broker.api("GET", "queues/%2F/mine.1"), /404/);
  }));

test("messages are moved, more than one call moves", () =>
  visit({ refused: [404] }, async (page) => {
    await broker.api("PUT", "queues/%2F/moved", { durable: true });
    await go(page, "#/queues/%2F/reports");
    await fill(page, "Move messages", { "To queue": "moved" }, "Move messages");
    await page.getByText("1,284 moved, 0 left").waitFor();
    assert.equal((await broker.api("GET", "queues/%2F/moved")).messages_ready, 1284);
    await fill(page, "Move messages", { "To queue": "nowhere" }, "Move messages");
    await page.getByRole("alert").getByText("no queue 'nowhere' in vhost '/'").waitFor();
    await broker.api("DELETE", "queues/%2F/moved");
  }));

test("who holds messages is shown", () =>
  visit({}, async (page) => {
    await go(page, "#/queues/%2F/orders.invoices");
    await page.getByText("Unacknowledged messages by holder").click();
    await page.getByRole("button", { name: "Show who holds messages" }).click();
    await page.getByText(/\(1\): 20$/).waitFor();
    await page.getByText("the oldest for").waitFor();
  }));

test("a stream is read from an offset", () =>
  visit({}, async (page) => {
    await go(page, "#/queues/%2F/audit.log");
    await page.getByRole("button", { name: "Look at messages" }).click();
    await page.locator(".message").nth(19).waitFor();
    await page.getByLabel("From offset").fill("3");
    await page.getByRole("button", { name: "Look again" }).click();
    await page.locator(".message-number", { hasText: /^3$/ }).waitFor();
  }));

test("what the API refuses is said beside the field, and nothing typed is lost", () =>
  visit({ refused: [400, 401] }, async (page) => {
    await go(page, "#/queues");
    const fold = await fill(page, "Add a queue", { Name: "amq.mine", Arguments: "x-expires = 5000" }, "Add queue");
    const name = fold.locator(".field", { has: page.getByLabel("Name", { exact: true }) });
    await name.getByRole("alert").getByText("Access refused").waitFor();
    await fill(page, "Add a queue", { Name: "mine.2", Arguments: "x-message-ttl = soon" }, "Add queue");
    const given = fold.locator(".field", { has: page.getByLabel("Arguments", { exact: true }) });
    await given.getByRole("alert").getByText("x-message-ttl").waitFor();
    assert.equal(await fold.getByLabel("Name", { exact: true }).inputValue(), "mine.2");
    assert.equal(await fold.getByLabel("Arguments", { exact: true }).inputValue(), "x-message-ttl = soon");
  }));

test("an exchange is declared, bound, published to and deleted", () =>
  visit({}, async (page) => {
    await go(page, "#/exchanges");
    await fill(page, "Add an exchange", { Name: "mine.x", Type: "topic" }, "Add exchange");
    await page.getByRole("heading", { name: "mine.x", level: 1 }).waitFor();
    const fold = await fill(page, "Publish a message", { "Routing key": "a.b", Payload: "x" }, "Publish");
    await fold.getByText("Not routed").waitFor();
    await fill(page, "Bind a queue or an exchange", { To: "queue", Name: "dead-letters", "Routing key": "a.#" }, "Bind");
    await said(page, "The binding was made.");
    await page.locator("svg text.edge-label", { hasText: "a.#" }).waitFor();
    await fold.getByRole("button", { name: "Publish", exact: true }).click();
    await said(page, "The message was published and routed.");
    await page.getByRole("button", { name: "Delete" }).click();
    await confirm(page, "Delete");
    await assert.rejects(broker.api("GET", "exchanges/%2F/mine.x"), /404/);
  }));

test("many bindings are filtered, and not all drawn", () =>
  visit({}, async (page) => {
    const bindings = Array.from({ length: 1000 }, (_, index) => ({
      source: "many",
      vhost: "/",
      destination: "dead-letters",
      destination_type: "queue",
      routing_key: `key.${index}`,
      arguments: {},
    }));
    const exchanges = [{ name: "many", vhost: "/", type: "topic", durable: true, auto_delete: false, internal: false, arguments: {} }];
    await broker.api("POST", "definitions", { exchanges, bindings });
    await go(page, "#/exchanges/%2F/many");
    await page.getByText("200 of 1,000").waitFor();
    assert.equal(await page.locator("tbody tr").count(), 200);
    await page.getByLabel("Filter bindings").fill("key.777");
    await page.locator("tbody tr").nth(0).getByText("key.777").waitFor();
    assert.equal(await page.locator("tbody tr").count(), 1);
    await broker.api("DELETE", "exchanges/%2F/many");
  }));

test("users, permissions and limits are set and cleared", () =>
  visit({}, async (page) => {
    await go(page, "#/users");
    await fill(page, "Add a user", { Name: "clerk", Password: "pw", "Tag management": true }, "Add user");
    await page.getByRole("heading", { name: "clerk", level: 1 }).waitFor();
    await fill(page, "Set permissions", { "Virtual host": "/", Configure: "^clerk", Write: ".*", Read: "" }, "Set permissions");
    await said(page, "Permissions were set.");
    assert.equal((await broker.api("GET", "permissions/%2F/clerk")).configure, "^clerk");
    await fill(page, "Set topic permissions", { Exchange: "amq.topic", Write: "^a" }, "Set topic permissions");
    await said(page, "Topic permissions were set.");
    await fill(page, "Set a limit", { Limit: "max-channels", Value: "7" }, "Set limit");
    await said(page, "The limit was set.");
    assert.equal((await broker.api("GET", "user-limits/clerk"))[0].value["max-channels"], 7);
    await fill(page, "Change password or tags", { "New password": "pw2", "Tag monitoring": true }, "Change user");
    await said(page, "The user was changed.");
    assert.deepEqual((await broker.api("GET", "users/clerk")).tags.sort(), ["management", "monitoring"]);
    await page.getByRole("region", { name: "Permissions", exact: true }).getByRole("button", { name: "Clear" }).click();
    await confirm(page, "Clear");
    await page.getByText("No permissions: the user cannot open").waitFor();
    await page.getByRole("button", { name: "Delete" }).click();
    await confirm(page, "Delete");
    await said(page, "User clerk was deleted.");
  }));

test("a virtual host is made, protected and deleted", () =>
  visit({}, async (page) => {
    await go(page, "#/vhosts");
    await fill(page, "Add a virtual host", { Name: "test/1", Description: "for tests", "Default queue type": "quorum" }, "Add virtual host");
    await said(page, "Virtual host test/1 was added");
    await go(page, "#/vhosts/test%2F1");
    await page.getByRole("button", { name: "Protect" }).click();
    await said(page, "It cannot be deleted now.");
    await page.getByRole("button", { name: "Unprotect" }).click();
    await said(page, "It can be deleted now.");
    await page.getByRole("button", { name: "Delete" }).click();
    await confirm(page, "Delete");
    await said(page, "Virtual host test/1 was deleted.");
  }));

test("policies are set and cleared, and refused ones keep their text", () =>
  visit({ refused: [400] }, async (page) => {
    await go(page, "#/policies");
    const values = { Name: "ttl", Pattern: "^x", Priority: "3", Definition: "message-ttl = soon" };
    const section = page.locator("section", { has: page.getByRole("heading", { name: "User policies" }) });
    const fold = section.locator("details");
    await fold.locator("summary").click();
    for (const [label, value] of Object.entries(values)) await fold.getByLabel(label, { exact: true }).fill(value);
    await fold.getByRole("button", { name: "Set policy" }).click();
    await fold.getByRole("alert").waitFor();
    assert.equal(await fold.getByLabel("Pattern", { exact: true }).inputValue(), "^x");
    await fold.getByLabel("Definition", { exact: true }).fill("message-ttl = 1000");
    await fold.getByRole("button", { name: "Set policy" }).click();
    await said(page, "The policy was set.");
    assert.deepEqual((await broker.api("GET", "policies/%2F/ttl")).definition, { "message-ttl": 1000 });
    await go(page, "#/policies/%2F/ttl");
    await page.getByRole("button", { name: "Clear" }).click();
    await confirm(page, "Clear");
    await said(page, "The policy was cleared.");
  }));

test("definitions are downloaded and imported", () =>
  visit({ refused: [400] }, async (page) => {
    await go(page, "#/definitions");
    const coming = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download definitions" }).click();
    const file = await (await coming).path();
    const definitions = JSON.parse(readFileSync(file, "utf8"));
    assert.ok(definitions.queues.some((one) => one.name === "orders.new"));
    const more = { queues: [{ name: "imported", vhost: "/", durable: true, auto_delete: false, arguments: {} }] };
    const upload = (content) => page.getByLabel("File").setInputFiles({ name: "more.json", mimeType: "application/json", buffer: Buffer.from(content) });
    await upload("{");
    await page.getByRole("button", { name: "Import definitions" }).click();
    await confirm(page, "Import");
    await page.getByRole("alert").getByText("failed_to_parse_json").waitFor();
    await upload(JSON.stringify(more));
    await page.getByRole("button", { name: "Import definitions" }).click();
    await confirm(page, "Import");
    await said(page, "The definitions were imported.");
    await broker.api("DELETE", "queues/%2F/imported");
  }));

test("a connection is closed", () =>
  visit({ refused: [404] }, async (page) => {
    const before = await broker.api("GET", "connections?columns=name,user_provided_name");
    const { name } = before.find((one) => one.user_provided_name === "mailer");
    await go(page, `#/connections/${encodeURIComponent(name)}`);
    await page.getByRole("button", { name: "Close connection" }).click();
    await confirm(page, "Close connection");
    await said(page, "The connection was closed.");
  }));

test("the log is live, filtered and paused", () =>
  visit({}, async (page) => {
    await go(page, "#/log");
    await page.getByText("Server startup complete").waitFor();
    await page.getByLabel("Filter the log by text").fill("no-such-line");
    await page.getByText("No line yet.").waitFor();
    await page.getByLabel("Filter the log by text").fill("denied-user");
    await fetch(`${broker.url}api/whoami`, { headers: { Authorization: `Basic ${btoa("denied-user:x")}` } });
    await broker.api("PUT", "queues/%2F/denied-user", { durable: false });
    await page.locator(".line").getByText("denied-user").first().waitFor();
    await broker.api("DELETE", "queues/%2F/denied-user");
  }));

test("findings are forgotten", () =>
  visit({}, async (page) => {
    await go(page, "#/lint");
    await page.getByText("temporary").waitFor();
    await page.getByRole("button", { name: "Forget" }).click();
    await confirm(page, "Forget");
    await page.getByText("temporary").waitFor({ state: "detached" });
  }));

test("several queues are chosen, on different pages, purged and deleted", () =>
  visit({ refused: [401] }, async (page) => {
    for (const name of ["bulk.1", "bulk.2", "bulk.3"]) {
      await broker.api("PUT", `queues/%2F/${name}`, { durable: true });
      await broker.api("POST", "exchanges/%2F/amq.default/publish", { routing_key: name, payload: "x", payload_encoding: "string", properties: {} });
    }
    await go(page, "#/queues?name=bulk.1");
    await page.getByLabel("Choose bulk.1").check();
    await page.getByLabel("Filter Queues by name").fill("bulk");
    await page.getByLabel("Choose bulk.3").check();
    const bar = page.getByRole("group", { name: "Chosen rows" });
    await bar.getByText("2 chosen").waitFor();
    await bar.getByRole("button", { name: "Purge" }).click();
    await page.getByRole("dialog").getByText("bulk.1, bulk.3").waitFor();
    await confirm(page, "Purge");
    await said(page, "2 queues were purged.");
    assert.equal((await broker.api("GET", "queues/%2F/bulk.1")).messages, 0);
    assert.equal((await broker.api("GET", "queues/%2F/bulk.2")).messages, 1);
    await page.getByLabel("Choose all of this page").check();
    await broker.api("DELETE", "queues/%2F/bulk.2");
    await bar.getByText("3 chosen").waitFor();
    await bar.getByRole("button", { name: "Delete" }).click();
    await confirm(page, "Delete");
    await said(page, "2 queues were deleted. 1 refused: bulk.2: Not Found");
    await page.getByText("No name matches “bulk”.").waitFor();
    page.errors = page.errors.filter((one) => !one.includes("status of 404"));
  }));

test("columns are shown and hidden, and the browser remembers them", () =>
  visit({}, async (page) => {
    await go(page, "#/queues");
    const heads = () => page.locator("thead th").allTextContents();
    await page.locator("tbody tr").first().waitFor();
    assert.ok(!(await heads()).includes("Octets"));
    await page.locator(".columns summary").click();
    await page.getByLabel("Octets", { exact: true }).check();
    await page.getByLabel("State", { exact: true }).uncheck();
    await page.keyboard.press("Escape");
    await page.getByLabel("State", { exact: true }).waitFor({ state: "hidden" });
    await page.reload();
    await page.locator("tbody tr").first().waitFor();
    const found = await heads();
    assert.ok(found.includes("Octets") && !found.includes("State"), found.join());
  }));

test("a name is copied, and / goes to the filter", () =>
  visit({}, async (page) => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await go(page, "#/queues/%2F/reports");
    await page.getByRole("button", { name: "Copy the name reports" }).click();
    await said(page, "The name was copied.");
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "reports");
    await go(page, "#/queues");
    await page.locator("tbody tr").first().waitFor();
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Filter Queues by name");
  }));

test("what a user may not do is not offered", async () => {
  await broker.api("PUT", "queues/%2F/mine.own", { durable: true });
  await visit({ user: "worker", password: "w" }, async (page) => {
    const offered = await page.getByRole("navigation").getByRole("link").allTextContents();
    assert.deepEqual(offered, ["Overview", "Connections", "Channels", "Exchanges", "Queues", "Streams", "Virtual hosts", "Policies", "Limits"]);
    await go(page, "#/users");
    await page.getByText("You may not see this page.").waitFor();
    await go(page, "#/queues/%2F/mine.own");
    await page.getByRole("button", { name: "Delete" }).waitFor();
    assert.equal(await page.getByText("Publish a message to this queue").count(), 0);
    await go(page, "#/queues/%2F/reports");
    await page.getByRole("button", { name: "Purge" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Delete" }).count(), 0);
    assert.equal(await page.getByText("Bind to an exchange").count(), 0);
    await go(page, "#/policies");
    await page.getByText("max-length").waitFor();
    assert.equal(await page.getByRole("button", { name: "Clear" }).count(), 0);
  });
  await visit({ user: "viewer", password: "v" }, async (page) => {
    const offered = await page.getByRole("navigation").getByRole("link").allTextContents();
    assert.ok(offered.includes("Lint") && offered.includes("Log") && !offered.includes("Users"));
  });
  await broker.api("DELETE", "queues/%2F/mine.own");
});

test("everything can be reached with the keyboard", () =>
  visit({}, async (page) => {
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    assert.notEqual(await page.evaluate(() => document.activeElement?.tagName), "BODY");
    await go(page, "#/queues/%2F/reports");
    await page.getByRole("button", { name: "Delete" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await broker.api("GET", "queues/%2F/reports");
  }));

test("the clock moves, faults are armed, and the life of a message is a timeline", { skip: !HAS_TOOLKIT }, async () => {
  const toolkit = await startToolkit();
  await visit({ broker: toolkit, refused: [400, 408] }, async (page) => {
    await page.evaluate(AXE);
    await page.getByRole("navigation").getByRole("link", { name: "History" }).click();
    await page.getByRole("link", { name: "soon dead" }).waitFor();
    await go(page, "#/clock");
    await page.getByRole("button", { name: "Freeze" }).click();
    await page.getByText("frozen").waitFor();
    await page.getByRole("button", { name: "Ask" }).click();
    await page.locator("main").filter({ hasText: /It is idle|Not yet/ }).waitFor();
    await page.getByRole("button", { name: "1 min", exact: true }).click();
    await said(page, "moments were due");
    assert.equal((await toolkit.api("GET", "queues/%2F/dead")).messages_ready, 1);
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByText("runs", { exact: true }).waitFor();
    await serious(page, "#/clock");

    await go(page, "#/history");
    await page.getByRole("link", { name: "soon dead" }).first().click();
    await page.locator(".timeline li").nth(1).waitFor();
    await serious(page, "#/history/1");
    await go(page, "#/history?view=unroutable");
    await page.getByRole("link", { name: "nowhere" }).waitFor();

    await go(page, "#/faults");
    const fold = page.locator("details.fold");
    await fold.getByLabel("When", { exact: true }).fill("basic.publish");
    await fold.getByLabel("Then", { exact: true }).fill("no_such_verb");
    await fold.getByRole("button", { name: "Arm fault" }).click();
    await fold.getByRole("alert").waitFor();
    assert.equal(await fold.getByLabel("When", { exact: true }).inputValue(), "basic.publish");
    await fold.getByLabel("Then", { exact: true }).fill("reset");
    await fold.getByLabel("More", { exact: true }).fill("nth = 3");
    await fold.getByRole("button", { name: "Arm fault" }).click();
    await page.getByText("armed", { exact: true }).waitFor();
    await serious(page, "#/faults");
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByText("No fault is armed.").waitFor();
  });
  await toolkit.stop();
});

test("the page says that the broker is lost, and goes on when it is back", async () => {
  let other = await startBroker();
  await visit({ broker: other }, async (page) => {
    await other.api("PUT", "queues/%2F/old", { durable: true });
    await go(page, "#/queues");
    await page.getByText("old").waitFor();
    const { amqp, http } = other;
    await other.stop();
    await page.getByText("What is shown may be old").waitFor();
    other = await startBroker({ amqp, http });
    await page.getByText("What is shown may be old").waitFor({ state: "detached" });
    await page.getByText("There is no queue yet.").waitFor();
    page.errors = page.errors.filter((one) => !/net::ERR|status of/.test(one));
  });
  await other.stop();
});

test(`${MANY} queues are sorted, filtered and paged`, { timeout: 300_000 }, async () => {
  const crowded = await startBroker();
  const queues = Array.from({ length: MANY }, (_, index) => ({
    name: `queue.${String(index).padStart(6, "0")}`,
    vhost: "/",
    durable: true,
    auto_delete: false,
    arguments: {},
  }));
  await crowded.api("POST", "definitions", { queues });
  const last = queues.at(-1).name;
  const body = { routing_key: last, payload: "x", payload_encoding: "string", properties: {} };
  await crowded.api("POST", "exchanges/%2F/amq.default/publish", body);
  await visit({ broker: crowded }, async (page) => {
    await go(page, "#/queues");
    await page.getByText("queue.000000").waitFor();
    assert.equal(await page.locator("tbody tr").count(), 100);
    await page.getByRole("button", { name: "Ready" }).click();
    await page.locator("tbody tr").first().getByText(last).waitFor();
    await page.getByLabel("Filter Queues by name").fill("queue.0001");
    await page.getByText(`100 (all: ${MANY.toLocaleString("en-GB")})`).waitFor();
    await page.getByLabel("Filter Queues by name").fill("");
    await page.getByRole("button", { name: "Last page" }).click();
    await page.locator(".range", { hasText: `${MANY.toLocaleString("en-GB")} of` }).waitFor();
    await go(page, "#/");
    await page.getByText("Queued messages").waitFor();
    await page.getByText(last).waitFor();
  });
  await crowded.stop();
});
