import assert from 'node:assert/strict';
import test from 'node:test';
import amqp from 'amqplib';
import { URL, next, session, take, text } from './suite.mjs';

session('checkQueue of a missing queue closes the channel alone', async (connection, queue) => {
  const channel = await connection.createChannel();
  const failed = next(channel, 'error');
  const closed = new Promise((resolve) => { channel.once('close', resolve); });
  await assert.rejects(channel.checkQueue(queue), /404 \(NOT-FOUND\) with message "NOT_FOUND - no queue '.+' in vhost '.+'"/);
  const [error] = await failed;
  assert.equal(error.code, 404);
  await closed;
  const another = await connection.createChannel();
  await another.assertQueue(queue, { exclusive: true });
});

session('asserting with other options is a 406', async (connection, queue) => {
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { exclusive: true, maxLength: 5 });
  const other = await connection.createChannel();
  other.on('error', () => {});
  await assert.rejects(other.assertQueue(queue, { exclusive: true, maxLength: 6 }), (error) => {
    assert.equal(error.code, 406);
    assert.match(error.message, /PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '.+' in vhost '.+': received '6' but current is '5'/);
    return true;
  });
});

session('a topic log', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  await channel.assertExchange(queue, 'topic', { autoDelete: true });
  await channel.assertQueue(queue, { exclusive: true });
  for (const key of ['kern.*', '#.critical']) await channel.bindQueue(queue, queue, key);
  for (const key of ['kern.info', 'cron.info', 'a.b.critical', 'kern.critical']) channel.publish(queue, key, Buffer.from(key));
  await channel.waitForConfirms();
  assert.deepEqual((await take(channel, queue, 3)).map(text), ['kern.info', 'a.b.critical', 'kern.critical']);
});

session('exchange to exchange, headers, unbind, purge', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  const inner = `${queue}-inner`;
  await channel.assertExchange(queue, 'fanout', { autoDelete: true });
  await channel.assertExchange(inner, 'headers', { autoDelete: true, internal: true });
  await channel.bindExchange(inner, queue, '');
  await channel.assertQueue(queue, { exclusive: true });
  await channel.bindQueue(queue, inner, '', { 'x-match': 'all', a: 1 });
  channel.publish(queue, '', Buffer.from('no'), { headers: { a: 2 } });
  channel.publish(queue, '', Buffer.from('yes'), { headers: { a: 1, b: 2 } });
  await channel.waitForConfirms();
  assert.equal(text(await channel.get(queue)), 'yes');
  channel.nackAll();
  assert.deepEqual(await channel.purgeQueue(queue), { messageCount: 1 });
  await channel.unbindQueue(queue, inner, '', { 'x-match': 'all', a: 1 });
  await channel.checkQueue(queue);
});

session('an alternate exchange catches the unroutable', async (connection, queue) => {
  const channel = await connection.createConfirmChannel();
  await channel.assertExchange(`${queue}-alt`, 'fanout', { autoDelete: true });
  await channel.assertExchange(queue, 'direct', { autoDelete: true, alternateExchange: `${queue}-alt` });
  await channel.assertQueue(queue, { exclusive: true });
  await channel.bindQueue(queue, `${queue}-alt`, '');
  channel.publish(queue, 'nowhere', Buffer.from('caught'), { mandatory: true });
  await channel.waitForConfirms();
  const message = await channel.get(queue, { noAck: true });
  assert.deepEqual([text(message), message.fields.exchange, message.fields.routingKey], ['caught', queue, 'nowhere']);
  await channel.deleteExchange(queue);
});

session('a hundred channels', async (connection, queue) => {
  const channels = await Promise.all(Array.from({ length: 100 }, () => connection.createConfirmChannel()));
  await channels[0].assertQueue(queue, { exclusive: true });
  for (const channel of channels) channel.sendToQueue(queue, Buffer.from('x'));
  await Promise.all(channels.map((channel) => channel.waitForConfirms()));
  assert.equal((await channels[99].checkQueue(queue)).messageCount, 100);
  await Promise.all(channels.slice(1).map((channel) => channel.close()));
});

test('negotiated heartbeat, frame size and server properties', async () => {
  const connection = await amqp.connect(`${URL}?heartbeat=9&frameMax=8192&channelMax=3`);
  const { heartbeat, frameMax, channelMax } = connection.connection;
  assert.deepEqual({ heartbeat, frameMax, channelMax }, { heartbeat: 9, frameMax: 8192, channelMax: 3 });
  assert.equal(connection.connection.serverProperties.product, 'RabbitMQ');
  assert.equal(connection.connection.serverProperties.capabilities['basic.nack'], true);
  await connection.updateSecret(Buffer.from('guest'), 'rotation');
  await connection.close();
});

test('a wrong password is refused', async () => {
  const url = new globalThis.URL(URL);
  url.password = 'wrong';
  await assert.rejects(amqp.connect(url.href), /403 \(ACCESS-REFUSED\) with message "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN/);
});
