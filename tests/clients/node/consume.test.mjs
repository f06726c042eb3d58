import assert from 'node:assert/strict';
import { session, take, text } from './suite.mjs';

session('prefetch withholds until the ack', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { exclusive: true });
  for (const word of ['a', 'b', 'c']) channel.sendToQueue(queue, Buffer.from(word));
  await channel.waitForConfirms();
  await channel.prefetch(1);
  const waiting = [];
  let arrived;
  await channel.consume(queue, (message) => { waiting.push(message); arrived?.(); });
  for (const [word, left] of [['a', 2], ['b', 1], ['c', 0]]) {
    if (waiting.length === 0) await new Promise((resolve) => { arrived = resolve; });
    assert.equal((await channel.checkQueue(queue)).messageCount, left);
    assert.equal(waiting.length, 1);
    const message = waiting.pop();
    assert.equal(text(message), word);
    channel.ack(message);
  }
});

session('nack, reject, ackAll, nackAll', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { exclusive: true });
  for (const word of ['a', 'b', 'c']) channel.sendToQueue(queue, Buffer.from(word));
  await channel.waitForConfirms();
  const first = await channel.get(queue);
  assert.deepEqual([text(first), first.fields.redelivered, first.fields.messageCount], ['a', false, 2]);
  channel.nack(first);
  const again = await channel.get(queue);
  assert.deepEqual([text(again), again.fields.redelivered], ['a', true]);
  channel.reject(again, false);
  await channel.get(queue);
  await channel.get(queue);
  assert.equal(await channel.get(queue), false);
  channel.nackAll();
  assert.deepEqual((await take(channel, queue, 2)).map(text), ['b', 'c']);
  channel.ackAll();
  assert.equal((await channel.checkQueue(queue)).messageCount, 0);
});

session('deleting the queue cancels the consumer', async (connection, queue) => {
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: true });
  let cancel;
  const cancelled = new Promise((resolve) => { cancel = resolve; });
  await channel.consume(queue, cancel);
  const other = await connection.createChannel();
  assert.deepEqual(await other.deleteQueue(queue), { messageCount: 0 });
  assert.equal(await cancelled, null);
});

session('rpc over amq.rabbitmq.reply-to', async (connection, queue) => {
  const server = await connection.createChannel();
  await server.assertQueue(queue, { exclusive: true });
  await server.consume(queue, (message) => {
    const { replyTo, correlationId } = message.properties;
    server.sendToQueue(replyTo, Buffer.from(text(message).toUpperCase()), { correlationId });
    server.ack(message);
  });
  const client = await connection.createChannel();
  const waiting = new Map();
  await client.consume('amq.rabbitmq.reply-to', (message) => {
    waiting.get(message.properties.correlationId)(text(message));
  }, { noAck: true });
  const call = (id, body) => new Promise((resolve) => {
    waiting.set(id, resolve);
    client.sendToQueue(queue, Buffer.from(body), { replyTo: 'amq.rabbitmq.reply-to', correlationId: id });
  });
  assert.deepEqual(await Promise.all([call('1', 'one'), call('2', 'two')]), ['ONE', 'TWO']);
});

session('rpc over an exclusive queue', async (connection, queue) => {
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { exclusive: true });
  const replies = (await channel.assertQueue('', { exclusive: true })).queue;
  assert.match(replies, /^amq\.gen-/);
  await channel.consume(queue, (message) => {
    channel.sendToQueue(message.properties.replyTo, message.content, { correlationId: message.properties.correlationId });
  }, { noAck: true });
  channel.sendToQueue(queue, Buffer.from('ping'), { replyTo: replies, correlationId: 'c' });
  const [reply] = await take(channel, replies, 1);
  assert.deepEqual([text(reply), reply.properties.correlationId], ['ping', 'c']);
});

session('expired messages are dead-lettered', async (connection, queue) => {
  const channel = await connection.createChannel();
  const dead = (await channel.assertQueue('', { exclusive: true })).queue;
  await channel.assertQueue(queue, { exclusive: true, messageTtl: 20, deadLetterExchange: '', deadLetterRoutingKey: dead });
  channel.sendToQueue(queue, Buffer.from('late'));
  const [message] = await take(channel, dead, 1);
  const [death] = message.properties.headers['x-death'];
  assert.deepEqual([death.reason, death.queue, death.count], ['expired', queue, 1]);
});

session('a transient queue that is not exclusive', async (connection, queue) => {
  const channel = await connection.createChannel();
  assert.deepEqual(await channel.assertQueue(queue, { durable: false }), { queue, messageCount: 0, consumerCount: 0 });
  await channel.consume(queue, () => {});
  assert.equal((await channel.checkQueue(queue)).consumerCount, 1);
  await channel.deleteQueue(queue);
});
