'use strict';

/*
 * A sofa-rpc-node client of the Java server: `node sofa-client.js --url H:P [--bolt 1|2] [--crc]`.
 * It says which of Bolt's two versions it speaks, with a CRC or without; the server answers in kind.
 */

const assert = require('assert');
const protocol = require('sofa-bolt-node');
const { RpcClient } = require('sofa-rpc-node').client;
const { check, finish, option, bytes } = require('./checks');

const SEED = 20190419;
const url = option('url', '127.0.0.1:12200');
const bolt = Number(option('bolt', '1'));
const crc = process.argv.includes('--crc');
const quiet = { info() {}, warn() {}, debug() {}, error() {}, log() {} };

/* The time in which an answer has to come, and that of the call which is to be too slow for its 300 ms: nothing is
 * asserted of how fast anything is, for other programs may have the machine. */
const PATIENCE_MS = 30000;
const SLOW_MS = 2000;

/* The library chooses Bolt v1 without CRC; both are properties of its encoder. */
const flavoured = Object.assign({}, protocol, {
  encoder(options) {
    const encoder = protocol.encoder(options);
    encoder.protocolType = bolt === 2 ? 'bolt2' : 'bolt';
    encoder.boltVersion = bolt === 2 && crc ? 2 : 1;
    encoder.crcEnable = crc;
    return encoder;
  },
});

const client = new RpcClient({ logger: quiet, protocol: flavoured });
client.on('error', () => {});

function consumer(interfaceName) {
  return client.createConsumer({ interfaceName, serverHost: `bolt://${url}`, responseTimeout: PATIENCE_MS });
}

const echo = consumer('com.acme.EchoService');
const text = value => ({ $class: 'java.lang.String', $: value });
const int = value => ({ $class: 'int', $: value });

async function rejected(promise) {
  try {
    const got = await promise;
    throw new Error(`answered ${got}`);
  } catch (err) {
    return err;
  }
}

async function main() {
  await echo.ready();

  await check('sync', async () => {
    for (let i = 0; i < 50; i++) assert.strictEqual(await echo.invoke('echo', [ text('node ' + i) ]), 'node ' + i);
    assert.strictEqual(await echo.invoke('echo', [ text('舢板') ]), '舢板');
    assert.strictEqual(await echo.invoke('echo', [ text('') ]), '');
  });

  await check('structured-values', async () => {
    const got = await echo.invoke('carry', [{
      $class: 'com.acme.Parcel',
      $: {
        name: { $class: 'java.lang.String', $: '舢板' },
        weight: { $class: 'long', $: 42 },
        price: { $class: 'double', $: 0.25 },
        tags: { $class: 'java.util.ArrayList', $: [ 'a', '' ] },
        parts: { $class: 'java.util.HashMap', $: { one: 1 } },
        inner: { $class: 'com.acme.Parcel', $: null },
      },
    }]);
    assert.strictEqual(got.name, '舢板');
    assert.strictEqual(Number(got.weight), 42);
    assert.strictEqual(got.price, 0.25);
    assert.deepStrictEqual(got.tags, [ 'a', '' ]);
    assert.deepStrictEqual(Object.assign({}, got.parts), { one: 1 });
    assert.strictEqual(got.inner, null);
  });

  await check('exceptions', async () => {
    const business = await rejected(echo.invoke('refuse', [ text('no such account') ]));
    assert.match(business.message, /no such account/);
    const runtime = await rejected(echo.invoke('crash', [ text('on the rocks') ]));
    assert.match(runtime.message, /on the rocks/);
    assert.strictEqual(await echo.invoke('echo', [ text('still here') ]), 'still here');
  });

  await check('one-mib-both-ways', async () => {
    for (const size of [ 1, 65535, 65536, 1 << 20 ]) {
      const up = bytes(SEED + size, size);
      const down = await echo.invoke('turn', [ up ]);
      for (let i = 0; i < size; i++) down[i] ^= 0x5a;
      assert.ok(up.equals(down), `seed ${SEED + size}: the bytes differ`);
    }
  });

  await check('timeout', async () => {
    const start = Date.now();
    const late = await rejected(echo.invoke('slow', [ int(SLOW_MS), text('too late') ], { responseTimeout: 300 }));
    const took = Date.now() - start;
    /* The library's own clock, or the sidecar's: this is how the library says an answer of status TIMEOUT. */
    assert.match(late.name + late.message, /Timeout|no response|Server exception when invoke/i, 'another error: ' + late);
    assert.ok(took >= 200, `failed after ${took} ms, not 300`);
    while (Date.now() - start < SLOW_MS + 400) assert.strictEqual(await echo.invoke('slow', [ int(1), text('next') ]), 'next');
  });

  await check('unknown-service-fails-at-once', async () => {
    const err = await rejected(consumer('com.acme.Missing').invoke('echo', [ text('anyone?') ]));
    assert.ok(!/no response/.test(err.message), err.message); /* that is what its own clock says */
  });

  await check('concurrent-answers-not-crossed', async () => {
    const calls = [];
    for (let i = 0; i < 600; i++) {
      const word = `c${i}`;
      const method = i % 3 === 0 ? 'slow' : 'echo';
      const args = i % 3 === 0 ? [ int(i % 8), text(word) ] : [ text(word) ];
      calls.push(echo.invoke(method, args).then(got => assert.strictEqual(got, word)));
    }
    await Promise.all(calls);
  });

  /* The library sends a heartbeat after 30 s of silence; the server hangs up after far less. Sent by hand here. */
  await check('heartbeats-keep-idle-connection', async () => {
    const conn = [ ...client.connectionManager._connections.values() ][0];
    const port = conn._socket.localPort;
    for (let i = 0; i < 10; i++) {
      conn._lastActiveTime = 0;
      conn.heartbeat();
      await new Promise(resolve => setTimeout(resolve, 500));
    }
    assert.ok(conn.isOk, 'the connection was closed');
    assert.strictEqual(await echo.invoke('echo', [ text('after') ]), 'after');
    const now = [ ...client.connectionManager._connections.values() ][0];
    assert.strictEqual(now._socket.localPort, port, 'another connection');
  });

  finish();
}

main().catch(err => {
  console.log(`not ok start: ${err.message}`);
  process.exit(1);
});
