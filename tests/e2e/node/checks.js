'use strict';

/* Named checks, one line each: `ok NAME`, or `not ok NAME: why`. */

let failed = 0;

/** Runs one check: a function that resolves for good and throws for bad, in `limitMs` at most. */
async function check(name, body, limitMs = 60000) {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${limitMs} ms`)), limitMs);
  });
  try {
    await Promise.race([ body(), late ]);
    console.log(`ok ${name}`);
  } catch (err) {
    failed++;
    console.log(`not ok ${name}: ${String(err.message || err).replace(/\s+/g, ' ')}`);
    console.error(err);
  } finally {
    clearTimeout(timer);
  }
}

/** Ends the process with the result of all checks. */
function finish() {
  process.exit(failed === 0 ? 0 : 1);
}

/** The value of `--name`, or what is given instead. */
function option(name, otherwise) {
  const at = process.argv.indexOf('--' + name);
  return at < 0 ? otherwise : process.argv[at + 1];
}

/** Bytes that a seed makes, so that a failure can be made again (xorshift32). */
function bytes(seed, size) {
  const body = Buffer.allocUnsafe(size);
  let x = (seed * 2654435761 >>> 0) || 1;
  for (let i = 0; i < size; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    body[i] = x & 0xff;
  }
  return body;
}

module.exports = { check, finish, option, bytes };
