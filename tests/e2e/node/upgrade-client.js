'use strict';

/*
 * WebSockets that stay open while sidecars are replaced: `node upgrade-client.js --url ws://H:P --until FILE`.
 *
 * Each has some numbered messages under way, text and binary, and a large one now and then; what comes back must be the
 * next one, as it was sent. Says `ready` when each has had an answer; when FILE is there it takes the last answers, says
 * how it went and what it sent and got.
 */

const fs = require('fs');
const { once } = require('events');
const { WebSocket } = require('ws');
const { check, finish, option, bytes } = require('./checks');

const SOCKETS = 6, UNDER_WAY = 4, LARGE = 1 << 20, LARGE_EACH = 40, PAUSE_MS = 10, LAST_MS = 60000;
const until = option('until');
const sum = { sockets: SOCKETS, sent: 0, got: 0 };
let ending = false;

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

function message(socket, number) {
  if (number % LARGE_EACH === LARGE_EACH - 1) return bytes(socket * 100000 + number, LARGE);
  return number % 2 ? bytes(socket * 100000 + number, 1024) : `${socket}/${number}`;
}

/** One socket: `first` resolves at its first answer, `end` when all that it sent has come back. */
function talk(socket) {
  const ws = new WebSocket(option('url') + '/ws', { perMessageDeflate: false, maxPayload: 64 << 20 });
  const waiting = [];
  let begun;
  const first = new Promise(resolve => { begun = resolve; });
  const end = new Promise((resolve, reject) => {
    ws.on('error', reject);
    ws.on('close', code => (ending && waiting.length === 0 ? resolve() : reject(new Error(
      `closed with ${code} and ${waiting.length} messages under way`))));
    ws.on('message', (data, binary) => {
      const want = waiting.shift();
      if (want === undefined) return reject(new Error('an answer to nothing'));
      if (binary !== (typeof want !== 'string') || !data.equals(Buffer.from(want)))
        return reject(new Error(`another message came back: ${data.length} bytes, ${waiting.length} under way`));
      sum.got++;
      begun();
    });
  });
  const send = async () => {
    await once(ws, 'open');
    for (let number = 0; !ending; number++) {
      while (waiting.length >= UNDER_WAY) await pause(1);
      waiting.push(message(socket, number));
      ws.send(waiting[waiting.length - 1]);
      sum.sent++;
      await pause(PAUSE_MS);
    }
    while (waiting.length) await pause(1);
    ws.close(1000);
  };
  send().catch(() => {});   /* `end` tells it */
  return { first, end };
}

async function main() {
  const all = [];
  for (let socket = 0; socket < SOCKETS; socket++) all.push(talk(socket));
  const ended = Promise.all(all.map(one => one.end));
  ended.catch(() => {});
  await Promise.race([ Promise.all(all.map(one => one.first)), ended ]);
  console.log('ready');
  while (!fs.existsSync(until)) await pause(20);
  ending = true;
  await check('websockets-stayed-open-and-in-order', () => ended, LAST_MS);
  console.log('sum ' + JSON.stringify(sum));
  finish();
}

main().catch(err => {
  console.log(`not ok start: ${err.message}`);
  process.exit(1);
});
