'use strict';

/* The client of ws-server.js: `node ws-client.js --url ws://H:P`. */

const assert = require('assert');
const { once } = require('events');
const { WebSocket } = require('ws');
const { check, finish, option, bytes } = require('./checks');

const SEED = 20190419;
const url = option('url', 'ws://127.0.0.1:8081');

async function open(path = '/', protocols = [], options = {}) {
  const ws = new WebSocket(url + path, protocols, options);
  await once(ws, 'open');
  return ws;
}

async function ask(ws, data) {
  const answer = once(ws, 'message');
  ws.send(data);
  const [ got, binary ] = await answer;
  return binary ? got : got.toString();
}

async function closed(ws) {
  const [ code, reason ] = await once(ws, 'close');
  return { code, reason: reason.toString() };
}

async function main() {
  await check('text', async () => {
    const ws = await open();
    assert.strictEqual(await ask(ws, 'ahoy 舢板'), 'ahoy 舢板');
    assert.strictEqual(await ask(ws, ''), '');
    ws.close(1000, 'done');
    assert.strictEqual((await closed(ws)).code, 1000);
  });

  await check('binary-one-mib', async () => {
    for (const perMessageDeflate of [ false, true ]) {
      const ws = await open('/', [], { perMessageDeflate, maxPayload: 64 << 20 });
      for (const size of [ 1, 125, 126, 65535, 65536, 1 << 20, 4 << 20 ]) {
        const up = bytes(SEED + size, size);
        assert.ok(up.equals(await ask(ws, up)), `seed ${SEED + size}: the bytes differ`);
      }
      ws.close();
      await closed(ws);
    }
  });

  await check('many-in-order', async () => {
    const ws = await open();
    let next = 0;
    const all = new Promise((resolve, reject) => {
      ws.on('message', data => {
        if (data.toString() !== 'n' + next) reject(new Error(`expected n${next}, got ${data}`));
        if (++next === 3000) resolve();
      });
    });
    for (let i = 0; i < 3000; i++) ws.send('n' + i);
    await all;
    ws.close();
    await closed(ws);
  });

  await check('subprotocol-and-headers', async () => {
    const ws = await open('/', [ 'other', 'harbour.v1' ], { headers: { 'x-visitor': 'gull' } });
    assert.strictEqual(ws.protocol, 'harbour.v1');
    assert.strictEqual(await ask(ws, 'header'), 'gull');
    ws.close();
    await closed(ws);
  });

  await check('ping-pong', async () => {
    const ws = await open();
    const pong = once(ws, 'pong');
    ws.ping('from the client');
    assert.strictEqual(String((await pong)[0]), 'from the client');
    assert.strictEqual(await ask(ws, 'ping-me'), 'pong-seen are you there');
    ws.close();
    await closed(ws);
  });

  await check('close-codes', async () => {
    for (const code of [ 1000, 1001, 1011, 3000, 4711 ]) {
      const ws = await open();
      ws.send(`close:${code}:because`);
      assert.deepStrictEqual(await closed(ws), { code, reason: 'because' });
    }
  });

  await check('cut-is-seen', async () => {
    const ws = await open();
    ws.on('error', () => {});
    ws.send('cut');
    assert.strictEqual((await closed(ws)).code, 1006);
  });

  await check('idle-stays-open', async () => {
    const ws = await open();
    await new Promise(resolve => setTimeout(resolve, 2000));
    assert.strictEqual(await ask(ws, 'still here'), 'still here');
    ws.close();
    await closed(ws);
  });

  await check('refused-handshake', async () => {
    const ws = new WebSocket(url + '/refused');
    ws.on('error', () => {});
    const [ , response ] = await once(ws, 'unexpected-response');
    assert.strictEqual(response.statusCode, 401);
    ws.terminate();
  });

  await check('no-upgrade-is-plain-http', async () => {
    const response = await fetch(url.replace('ws://', 'http://') + '/');
    assert.strictEqual(response.status, 426);
    assert.strictEqual(await response.text(), 'upgrade, please');
  });

  finish();
}

main().catch(err => {
  console.log(`not ok start: ${err.message}`);
  process.exit(1);
});
