import assert from 'node:assert/strict';
import { next, session, take, text } from './suite.mjs';

session('a work queue with confirms, prefetch and acks', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { exclusive: true });
  for (let n = 0; n < 100; n += 1) channel.sendToQueue(queue, Buffer.from(String(n)), { persistent: true, messageId: `m${n}` });
  await channel.waitForConfirms();
  assert.equal((await channel.checkQueue(queue)).messageCount, 100);
  const worker = await connection.createChannel();
  await worker.prefetch(7);
  const got = await take(worker, queue, 100);
  assert.deepEqual(got.map(text), Array.from({ length: 100 }, (_, n) => String(n)));
  assert.equal(got[5].properties.messageId, 'm5');
  assert.equal(got[5].properties.deliveryMode, 2);
});

session('a confirm callback a message', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { exclusive: true });
  const order = [];
  await Promise.all([1, 2, 3].map((n) => new Promise((resolve, reject) => {
    channel.publish('', queue, Buffer.from('x'), {}, (error) => (error ? reject(error) : resolve(order.push(n))));
  })));
  assert.deepEqual(order, [1, 2, 3]);
});

session('a full queue nacks', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { exclusive: true, maxLength: 1, overflow: 'reject-publish' });
  const publish = () => new Promise((resolve, reject) => {
    channel.sendToQueue(queue, Buffer.from('x'), {}, (error) => (error ? reject(error) : resolve()));
  });
  await publish();
  await assert.rejects(publish(), /message nacked/);
});

session('an unroutable mandatory message returns', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  const returned = next(channel, 'return');
  channel.publish('amq.topic', queue, Buffer.from('lost'), { mandatory: true, headers: { n: 1 } });
  const [message] = await returned;
  assert.equal(text(message), 'lost');
  const { replyCode, replyText, exchange, routingKey } = message.fields;
  assert.deepEqual({ replyCode, replyText, exchange, routingKey }, { replyCode: 312, replyText: 'NO_ROUTE', exchange: 'amq.topic', routingKey: queue });
  assert.deepEqual(message.properties.headers, { n: 1 });
  await channel.waitForConfirms();
});

session('large and empty bodies', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { exclusive: true });
  const bodies = [Buffer.alloc(0), Buffer.alloc(1 << 20, 'ab'), Buffer.alloc(3_000_001, 7)];
  for (const body of bodies) channel.sendToQueue(queue, body);
  await channel.waitForConfirms();
  const got = await take(channel, queue, 3);
  got.forEach((message, n) => assert.ok(message.content.equals(bodies[n])));
});

session('headers of every type come back', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { exclusive: true });
  const headers = { s: 'é', i: -1, big: 2 ** 40, f: 1.5, b: true, nothing: null, list: [1, 'x', { deep: false }], table: { a: { b: 1 } } };
  channel.sendToQueue(queue, Buffer.from('x'), {
    headers, contentType: 'text/plain', priority: 3, correlationId: 'c', expiration: 60000, type: 't', appId: 'a', timestamp: 1_700_000_000,
  });
  await channel.waitForConfirms();
  const message = await channel.get(queue, { noAck: true });
  assert.deepEqual({ ...message.properties.headers }, headers);
  const { contentType, priority, correlationId, expiration, type, appId, timestamp } = message.properties;
  assert.deepEqual({ contentType, priority, correlationId, expiration, type, appId, timestamp }, {
    contentType: 'text/plain', priority: 3, correlationId: 'c', expiration: '60000', type: 't', appId: 'a', timestamp: 1_700_000_000,
  });
});
