// Makes screenshots of all views: `npm run screenshots -- DIRECTORY`, by default those of README and docs only.
import { mkdirSync } from "node:fs";
import { DESKTOP, go, openPage, PHONE, startBroker, startBrowser, startTraffic } from "./harness.mjs";

const KEPT = { overview: "#/", queue: "#/queues/%2F/emails", exchange: "#/exchanges/%2F/orders" };
const ALL = {
  ...KEPT,
  queues: "#/queues?sort=messages&sort_reverse=true",
  queues_filtered: "#/queues?name=orders",
  connections: "#/connections",
  channels: "#/channels",
  exchanges: "#/exchanges",
  picture: "#/exchanges?view=picture",
  orders_new: "#/queues/%2F/orders.new",
  dead_letters: "#/queues/%2F/dead-letters",
  streams: "#/streams",
  users: "#/users",
  user: "#/users/worker",
  vhosts: "#/vhosts",
  vhost: "#/vhosts/%2F",
  policies: "#/policies",
  limits: "#/limits",
  definitions: "#/definitions",
  lint: "#/lint",
  log: "#/log",
  node: "#/nodes/NODE",
};

const directory = process.argv[2];
const out = directory ?? new URL("../../docs/images", import.meta.url).pathname;
const WARM_MS = Number(process.env.WARM_S ?? 90) * 1000;

mkdirSync(out, { recursive: true });
const broker = await startBroker();
const traffic = await startTraffic(broker);
const browser = await startBrowser();
await broker.api("PUT", "users/worker", { password: "w", tags: "monitoring" });
await broker.api("PUT", "permissions/%2F/worker", { configure: "^orders", write: ".*", read: ".*" });
await broker.api("PUT", "vhosts/staging", { description: "For the next release", tags: "staging" });
await broker.api("PUT", "policies/%2F/limits", { pattern: "^sms$", definition: { "max-length": 5000 }, "apply-to": "queues", priority: 1 });
await broker.api("PUT", "vhost-limits/staging/max-queues", { value: 100 });
await broker.api("PUT", "queues/%2F/temporary", { durable: false, auto_delete: true });
const [{ name: node }] = await broker.api("GET", "nodes?columns=name");
// Charts need a history; time is what makes one.
await new Promise((resolve) => setTimeout(resolve, WARM_MS));

for (const dark of directory ? [false, true] : [false]) {
  for (const viewport of directory ? [DESKTOP, PHONE] : [DESKTOP]) {
    const page = await openPage(browser, broker, { viewport, dark, scale: directory ? 1 : 1.5 });
    for (const [name, at] of Object.entries(directory ? ALL : KEPT)) {
      await go(page, at.replace("NODE", encodeURIComponent(node)));
      if (name === "dead_letters") await page.getByRole("button", { name: "Look at messages" }).click();
      if (name === "orders_new") {
        await page.getByText("Unacknowledged messages by holder").click();
        await page.getByRole("button", { name: "Show who holds messages" }).click();
      }
      await page.waitForTimeout(700);
      const suffix = `${viewport === PHONE ? "_phone" : ""}${dark ? "_dark" : ""}`;
      await page.screenshot({ path: `${out}/${name}${suffix}.png`, fullPage: directory !== undefined });
    }
    if (page.errors.length) console.error(page.errors.join("\n"));
    await page.context().close();
  }
}
await browser.close();
await traffic.stop();
await broker.stop();
