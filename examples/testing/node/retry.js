// A retry after a day, and a lost connection, in a moment: node retry.js, beside `leveret serve --testing`.
const assert = require("node:assert");
const amqp = require("amqplib");

const amqpUrl = process.env.AMQP_URL ?? "amqp://guest:guest@localhost";
const api = process.env.LEVERET_URL ?? "http://localhost:15672/api/leveret";
const headers = { authorization: "Basic " + btoa("guest:guest"), "content-type": "application/json" };

async function leveret(method, path, body) {
  const answer = await fetch(`${api}/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text && JSON.parse(text);
}

async function main() {
  const connection = await amqp.connect(amqpUrl);
  connection.on("error", () => {});
  const channel = await connection.createConfirmChannel();
  channel.on("error", () => {});
  await channel.assertQueue("work");
  const arguments_ = { "x-message-ttl": 86400000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work" };
  await channel.assertQueue("retry", { arguments: arguments_ });
  channel.sendToQueue("retry", Buffer.from("job"));
  await channel.waitForConfirms();
  await leveret("POST", "clock/freeze", {});
  await leveret("POST", "clock/advance", { by: 86400 });
  const { messages } = await leveret("POST", "wait", { for: "messages", queue: "work" });
  assert.equal(messages[0].body, "job");

  await leveret("POST", "faults", { on: "basic.publish", queue: "work", do: "reset" });
  const closed = new Promise((resolve) => connection.on("close", resolve));
  channel.sendToQueue("work", Buffer.from("lost"), {}, () => {});
  await closed;
  console.log("retried, and lost the connection");
}

main();
