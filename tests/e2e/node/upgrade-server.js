'use strict';

/*
 * What the clients of an upgrade call (upgrades/clients.py): `node upgrade-server.js --port N`. It counts and sums up
 * what it accepts, gets and sends.
 *   GET /sea/NAME/MIB     MIB MiB of a cipher's stream whose key is NAME; ?chunked for one without a length
 *   PUT /NAME             takes the body
 *   GET /account          {connections, handshakes, messages, calls, sent: {NAME: [bytes, sha256]}, got: likewise}
 *   GET /...              says its own path
 * A WebSocket's messages come back as they were.
 */

const http = require('http');
const crypto = require('crypto');
const { WebSocketServer } = require('ws');
const { option } = require('./checks');

const MIB = 1 << 20;
const zeros = Buffer.alloc(MIB / 4);
const account = { connections: 0, handshakes: 0, messages: 0, calls: 0, sent: {}, got: {} };

function text(response, body) {
  response.writeHead(200, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

function sea(response, name, mib, chunked) {
  const key = crypto.createHash('sha256').update(name).digest();
  const cipher = crypto.createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const hash = crypto.createHash('sha256');
  let left = mib * MIB;
  response.writeHead(200, chunked ? {} : { 'content-length': left });
  const more = () => {
    while (left > 0) {
      const part = cipher.update(zeros);
      hash.update(part);
      left -= part.length;
      if (!response.write(part)) return response.once('drain', more);
    }
    account.sent[name] = [ mib * MIB, hash.digest('hex') ];
    response.end();
  };
  more();
}

function take(request, response, name) {
  const hash = crypto.createHash('sha256');
  let bytes = 0;
  request.on('data', part => { hash.update(part); bytes += part.length; });
  request.on('end', () => {
    account.got[name] = [ bytes, hash.digest('hex') ];
    text(response, `${bytes}`);
  });
}

const server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
  const url = new URL(request.url, 'http://server');
  const [ , first, name, mib ] = url.pathname.split('/');
  if (first !== 'account') account.calls++;
  if (first === 'sea') sea(response, name, Number(mib), url.searchParams.has('chunked'));
  else if (first === 'account') text(response, JSON.stringify(account));
  else if (request.method === 'PUT') take(request, response, first);
  else text(response, url.pathname + '\n');
});
server.on('connection', () => { account.connections++; });

const doors = new WebSocketServer({ server, maxPayload: 64 * MIB });
doors.on('connection', ws => {
  account.handshakes++;
  ws.on('error', () => {});
  ws.on('message', (data, binary) => {
    account.messages++;
    ws.send(data, { binary });
  });
});

server.listen(Number(option('port', '8082')), '127.0.0.1', () => console.log('ready'));
