'use strict';

// node produce.js ADDRESS TOPIC FIRST COUNT TAG...: send messages whose bodies are numbers, each with the next tag in
// turn, 64 at a time. Writes one line for each that was sent: the number, its queue, and its offset there.
const { Message, Producer } = require('ali-ons');
const { settings, fail } = require('./settings');

const IN_FLIGHT = 64;
const [ address, topic, first, count, ...tags ] = process.argv.slice(2);

async function main() {
  const producer = new Producer({ ...settings(address), producerGroup: 'GP' });
  producer.on('error', fail);
  await producer.ready();
  const end = Number(first) + Number(count);
  let next = Number(first);

  async function send() {
    const number = next++;
    const body = `${number} ${'x'.repeat(number % 100)}`;
    const result = await producer.send(new Message(topic, tags[number % tags.length], body));
    if (result.sendStatus !== 'SEND_OK') throw new Error(JSON.stringify(result));
    process.stdout.write(`${number} ${result.messageQueue.queueId} ${result.queueOffset}\n`);
  }

  async function sendAll() {
    while (next < end) await send();
  }

  await send(); // alone: the client asks where the topic is
  await Promise.all(Array.from({ length: IN_FLIGHT }, sendAll));
  await producer.close();
  process.stdout.write('', () => process.exit(0));
}

process.on('unhandledRejection', fail);
main().catch(fail);
