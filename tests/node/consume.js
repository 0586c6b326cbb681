'use strict';

// node consume.js ADDRESS TOPIC GROUP TAGS COUNT [FAIL]: consume so many messages from the first on, or from where the
// group has stopped, and end. Writes one line for each: its number, tag, queue, offset, and how often it had failed.
// Of those whose number is a multiple of FAIL the first attempt fails.
const { Consumer } = require('ali-ons');
const { settings, fail } = require('./settings');

const NO_OFFSET_YET = 22;
const [ address, topic, consumerGroup, tags, count, failing ] = process.argv.slice(2);

async function main() {
  const consumer = new Consumer({
    ...settings(address),
    consumerGroup,
    consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    pullTimeDelayMillsWhenFlowControl: 20, // of 5 000, in which most of the time would go by
  });
  let taken = 0;
  let isEnding = false;
  consumer.on('error', error => {
    // No offset yet is no fault: it goes on with the first message. Closing is an error to what it still asks for.
    if (error.code !== NO_OFFSET_YET && !isEnding) fail(error);
  });

  async function end() {
    isEnding = true;
    await consumer.close();
    process.stdout.write('', () => process.exit(0));
  }

  consumer.subscribe(topic, tags, async message => {
    if (taken === Number(count)) await new Promise(() => {}); // those before this one count as consumed, this never does
    const number = parseInt(message.body.toString(), 10);
    if (failing && number % Number(failing) === 0 && message.reconsumeTimes === 0) return Consumer.ACTION_RETRY;
    const { tags: tag, queueId, queueOffset, reconsumeTimes } = message;
    process.stdout.write(`${number} ${tag} ${queueId} ${queueOffset} ${reconsumeTimes}\n`);
    if (++taken === Number(count)) setImmediate(() => end().catch(fail)); // once its offset is remembered
  });
}

process.on('unhandledRejection', fail);
main().catch(fail);
