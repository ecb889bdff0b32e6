#!/usr/bin/env python3
"""A child of the flood scenarios: connections as fast as one process can make them.

    flood.py PORT SECONDS fin|rst|request|half|bolt

Each connection is closed (fin), reset (rst), reset behind a request (request), half-closed in mid-head (half), or
reset behind half a Bolt frame (bolt). Says `done COUNT` at the end. The source address changes, so that the
machine does not run out of ports.
"""

import errno
import random
import socket
import struct
import sys
import time

RESET = struct.pack("ii", 1, 0)
WORDS = {"fin": b"", "rst": b"", "request": b"GET /flood HTTP/1.1\r\nHost: test\r\n\r\n", "half": b"GET / HT",
         "bolt": bytes.fromhex("0101000101000000010100000bb8002c0175")}


def one(port, kind):
    with socket.socket() as sock:
        sock.settimeout(2)
        sock.bind((f"127.0.{random.randrange(1, 250)}.{random.randrange(1, 250)}", 0))
        sock.connect(("127.0.0.1", port))
        if WORDS[kind]:
            sock.send(WORDS[kind])
        if kind == "half":
            sock.shutdown(socket.SHUT_WR)
        elif kind != "fin":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def main():
    port, seconds, kind = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            one(port, kind)
            count += 1
        except TimeoutError:
            pass  # the queue of the listener is full: the flood is held back
        except OSError as err:
            if err.errno not in (errno.ECONNRESET, errno.EPIPE, errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                raise
    print(f"done {count}", flush=True)


if __name__ == "__main__":
    main()
