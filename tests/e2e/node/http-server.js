'use strict';

/*
 * A plain HTTP/1.1 server for curl and wrk: `node http-server.js --port N [--host H]`.
 *   /echo      the body again, with its content type         /big?mib=N   N MiB made by a seed
 *   /hash      size and SHA-256 of the body, as it arrives    /status/N    that status
 *   /chunked   three chunks and a trailer                     /headers     the request's headers as JSON
 *   /cookies   two Set-Cookie lines                           /cut         half a body, then a reset
 *   /stream    a first chunk; the second once somebody has asked for /release
 *   /refuse    417 to `Expect: 100-continue`, without reading
 *   /count     how many requests this connection has carried
 */

const http = require('http');
const crypto = require('crypto');
const { option } = require('./checks');

const MIB = 1 << 20;
const block = crypto.createHash('sha512').update('sampan').digest();
const mib = Buffer.alloc(MIB, block);
let waiting = [];

const server = http.createServer({ keepAliveTimeout: 60000 }, serve);
server.on('connection', socket => { socket.calls = 0; });
server.on('checkContinue', (request, response) => {
  if (request.url === '/refuse') {
    response.writeHead(417, { 'content-length': 0, connection: 'close' });
    response.end();
    return;
  }
  response.writeContinue();
  serve(request, response);
});

function text(response, status, body, headers = {}) {
  response.writeHead(status, Object.assign({ 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body) }, headers));
  response.end(body);
}

function serve(request, response) {
  const url = new URL(request.url, 'http://server');
  request.socket.calls++;
  const [ , first, second ] = url.pathname.split('/');
  const end = ends[first];
  if (end) end(request, response, url, second);
  else text(response, 200, 'hello from ' + request.url);
}

const ends = {
  echo(request, response) {
    response.writeHead(200, { 'content-type': request.headers['content-type'] || 'application/octet-stream' });
    request.pipe(response);
  },
  hash(request, response) {
    const hash = crypto.createHash('sha256');
    let size = 0;
    request.on('data', part => { hash.update(part); size += part.length; });
    request.on('end', () => text(response, 200, `${size} ${hash.digest('hex')}`));
  },
  big(request, response, url) {
    const count = Number(url.searchParams.get('mib'));
    response.writeHead(200, { 'content-length': count * MIB });
    let sent = 0;
    const more = () => {
      while (sent < count) {
        sent++;
        if (!response.write(mib)) return response.once('drain', more);
      }
      response.end();
    };
    more();
  },
  status(request, response, url, code) {
    const body = [ '204', '304' ].includes(code) ? '' : `status ${code}`;
    const headers = code === '301' ? { location: '/elsewhere' } : {};
    if (body === '') {
      response.writeHead(Number(code), headers);
      response.end();
    } else text(response, Number(code), body, headers);
  },
  chunked(request, response) {
    const trailers = request.httpVersion === '1.1';
    response.writeHead(200, trailers ? { trailer: 'x-sum' } : {});
    response.write('one ');
    response.write('two ');
    if (trailers) response.addTrailers({ 'x-sum': '3' });
    response.end('three');
  },
  headers(request, response) {
    text(response, 200, JSON.stringify(request.headers), { 'content-type': 'application/json' });
  },
  cookies(request, response) {
    text(response, 200, 'two', { 'set-cookie': [ 'a=1; Path=/', 'b=2; Path=/' ] });
  },
  stream(request, response) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: first\n\n');
    waiting.push(response);
  },
  release(request, response) {
    for (const one of waiting) one.end('data: second\n\n');
    text(response, 200, `released ${waiting.length}`);
    waiting = [];
  },
  cut(request, response) {
    response.writeHead(200, { 'content-length': 1000 });
    response.write('half', () => request.socket.resetAndDestroy());
  },
  count(request, response) {
    text(response, 200, String(request.socket.calls));
  },
};

server.listen(Number(option('port', '8080')), option('host', '127.0.0.1'), () => console.log('ready'));
