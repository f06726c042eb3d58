// A broker, clients of it, and a browser: for the tests and the screenshots.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PYTHON = process.env.LEVERET_PYTHON ?? `${ROOT}.venv/bin/python`;
const CHROMIUM = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

/** Start a process and wait for a line of its output. */
function started(command, options, until) {
  const child = spawn(PYTHON, command, { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"], ...options });
  const lines = [];
  return new Promise((resolve, reject) => {
    let rest = "";
    child.stdout.on("data", (data) => {
      const parts = (rest + data).split("\n");
      rest = parts.pop();
      lines.push(...parts);
      if (parts.some((line) => line.includes(until))) resolve({ child, lines });
    });
    child.on("exit", (code) => reject(new Error(`${command.join(" ")} ended with ${code}:\n${lines.join("\n")}`)));
  });
}

function ended(child) {
  return new Promise((resolve) => {
    child.removeAllListeners("exit");
    if (child.exitCode !== null) return resolve();
    child.on("exit", resolve);
  });
}

/** A broker without a store, on free ports or the given ones. */
export async function startBroker({ amqp = 0, http = 0, more = [] } = {}) {
  const command = ["-m", "leveret", "serve", "--host", "127.0.0.1", "--port", amqp, "--http-port", http, "--prometheus-port", -1, ...more];
  return reached(command.map(String));
}

/** Whether this checkout has the toolkit over HTTP. */
export const HAS_TOOLKIT = existsSync(`${ROOT}broker/leveret/testing/control.py`);

/** A broker of the test toolkit, with the clock, faults and the history. */
export const startToolkit = () => reached(["page/tests/toolkit.py"]);

async function reached(command) {
  const environment = { ...process.env, PYTHONPATH: `${ROOT}broker`, PYTHONUNBUFFERED: "1" };
  const { child, lines } = await started(command, { env: environment }, "Server startup complete");
  const port = (pattern) => Number(lines.map((line) => pattern.exec(line)?.[1]).find(Boolean));
  const broker = {
    amqp: port(/started TCP listener on \S+:(\d+)/),
    http: port(/Management plugin: .* started on port (\d+)/),
    stop: () => (child.stdin.end(), child.kill(), ended(child)),
  };
  broker.url = `http://127.0.0.1:${broker.http}/`;
  broker.api = async (method, path, body, auth = "guest:guest") => {
    const answer = await fetch(`${broker.url}api/${path}`, {
      method,
      headers: { Authorization: `Basic ${btoa(auth)}`, "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
  return broker;
}

/** The shop of `traffic.py` with its clients. */
export async function startTraffic(broker) {
  const { child } = await started(["page/tests/traffic.py", String(broker.amqp)], {}, "ready");
  return { stop: () => (child.stdin.end(), ended(child)) };
}

export async function startBrowser() {
  if (!CHROMIUM) throw new Error("there is no Chromium: apt-get install chromium, or set CHROMIUM");
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--font-render-hinting=none"] });
}

export const DESKTOP = { width: 1360, height: 860 };
export const PHONE = { width: 390, height: 844 };

/** A tab whose errors are collected: of scripts, of the console, of the Content-Security-Policy. */
export async function openPage(browser, broker, { viewport = DESKTOP, dark = false, user = "guest", password = "guest", at = "#/", scale = 1 } = {}) {
  const context = await browser.newContext({ viewport, colorScheme: dark ? "dark" : "light", deviceScaleFactor: scale, locale: "en-GB" });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(String(error.stack ?? error)));
  page.on("console", (message) => message.type() === "error" && page.errors.push(message.text()));
  page.on("request", (request) => {
    if (!request.url().startsWith(broker.url) && !/^(data|blob):/.test(request.url())) page.errors.push(`request to ${request.url()}`);
  });
  await page.goto(broker.url + at);
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator("main#content").waitFor();
  return page;
}

/** Go to a place and wait until it is shown. */
export async function go(page, at) {
  await page.evaluate((hash) => (location.hash = hash), at);
  await page.locator("main#content").locator("h1, .wrong, .empty").first().waitFor();
}
