'use strict';

/*
 * A WebSocket echo server: `node ws-server.js --port N [--host H]`. What it is asked in words, it does:
 *   close:CODE:REASON   closes with that code      ping-me   pings, says `pong-seen` when answered
 *   cut                 drops the connection       header    says the x-visitor header of the handshake
 * The path /refused is answered with 401 instead of an upgrade.
 */

const http = require('http');
const { WebSocketServer } = require('ws');
const { option } = require('./checks');

const server = http.createServer((request, response) => {
  response.writeHead(426, { 'content-type': 'text/plain' });
  response.end('upgrade, please');
});
const doors = new WebSocketServer({
  noServer: true,
  maxPayload: 64 << 20,
  perMessageDeflate: { threshold: 1024 },
  handleProtocols: protocols => (protocols.has('harbour.v1') ? 'harbour.v1' : false),
});

server.on('upgrade', (request, socket, head) => {
  if (request.url === '/refused') {
    socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 7\r\nconnection: close\r\n\r\nrefused');
    return;
  }
  doors.handleUpgrade(request, socket, head, ws => serve(ws, request));
});

function serve(ws, request) {
  ws.on('error', () => {});
  ws.on('pong', data => ws.send('pong-seen ' + data));
  ws.on('message', (data, binary) => {
    const words = binary ? '' : data.toString();
    if (words.startsWith('close:')) {
      const [ , code, reason ] = words.split(':');
      ws.close(Number(code), reason);
    } else if (words === 'ping-me') ws.ping('are you there');
    else if (words === 'cut') ws.terminate();
    else if (words === 'header') ws.send(String(request.headers['x-visitor']));
    else ws.send(data, { binary });
  });
}

server.listen(Number(option('port', '8081')), option('host', '127.0.0.1'), () => console.log('ready'));
