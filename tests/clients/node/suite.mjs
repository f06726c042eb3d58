// What every file shares: a connection per test to AMQP_URL, unique names, and waiting for an event with a limit.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import test from 'node:test';
import amqp from 'amqplib';

export const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672/';
// Milliseconds; no outcome depends on it, it only ends a test that hangs.
export const WAIT = 300_000;

export const unique = (word) => `${word}-${randomUUID().slice(0, 8)}`;

// The arguments of the next `name` event of `emitter`; rejects after WAIT.
export const next = (emitter, name) => once(emitter, name, { signal: AbortSignal.timeout(WAIT) });

// A test with a connection of its own; `body(connection, queueName)`.
export function session(title, body) {
  test(title, { timeout: 2 * WAIT }, async () => {
    const connection = await amqp.connect(URL);
    let lost;
    connection.on('error', (error) => { lost = error; });
    try {
      await body(connection, unique('amqplib'));
    } finally {
      if (!lost) await connection.close();
    }
  });
}

// Consume `count` messages of `queue`, acknowledging each; resolves with them.
export async function take(channel, queue, count, options = {}) {
  const got = [];
  let done;
  const all = new Promise((resolve, reject) => {
    done = resolve;
    AbortSignal.timeout(WAIT).addEventListener('abort', () => reject(new Error(`${got.length} of ${count}`)));
  });
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message === null || got.length === count) return;
    got.push(message);
    if (!options.noAck) channel.ack(message);
    if (got.length === count) done();
  }, options);
  await all;
  await channel.cancel(consumerTag);
  return got;
}

export const text = (message) => message.content.toString();
