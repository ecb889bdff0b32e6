"""An anthunder client: a Python application that speaks to the mesh through its light-SDK interface.

`client.py [--api H:P] [--traffic H:P]`. The library itself knows only 127.0.0.1:13330 (the API beside it)
and 127.0.0.1:12220 (where all calls go); the two options move them for a machine where those are taken.
It subscribes, calls com.acme.ProtoEcho over Bolt v1 with the protobuf codec, offers a service of its
own and has it called. One line for each check; the exit status is 1 when any failed.
"""

import argparse
import asyncio
import logging
import socket
import sys
import threading
import time
import traceback

from google.protobuf.wrappers_pb2 import StringValue

from anthunder import AioClient, AioListener, BaseService
from anthunder.client.base import _BaseClient
from anthunder.mesh.mesh_client import MeshClient, ProviderMetaInfo, PublishServiceRequest
from mytracer import SpanContext

SERVICE = "com.acme.ProtoEcho:1.0"
OWN = "com.acme.FromPython:1.0"
TIMEOUT_MS = 30000  # only what hangs reaches it: others may have the machine


class Checks:
    """Runs named checks and says one line for each."""

    def __init__(self):
        self.failed = 0

    def run(self, name, body):
        try:
            body()
            print(f"ok {name}", flush=True)
        except Exception as err:
            self.failed += 1
            why = " ".join(str(err).split()) or type(err).__name__
            print(f"not ok {name}: {why}", flush=True)
            traceback.print_exc()


def expect(want, got):
    assert want == got, f"expected {want!r}, got {got!r}"


def call(client, service, text, method="echo", **more):
    body = StringValue(value=text).SerializeToString()
    answer = client.invoke_sync(service, method, body, spanctx=SpanContext(), timeout_ms=TIMEOUT_MS, **more)
    return StringValue.FromString(answer).value


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class FromPython(BaseService):
    """What this program offers to others."""

    def echo(self, body):
        return StringValue(value="python:" + StringValue.FromString(body).value).SerializeToString()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", type=address)
    parser.add_argument("--traffic", type=address)
    parser.add_argument("--own-port", type=int, default=0)
    args = parser.parse_args()
    if args.api:
        MeshClient._server = ("http://%s:%d/{}" % args.api).format
    if args.traffic:
        _BaseClient.mesh_service_address = args.traffic
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)

    checks = Checks()
    client = AioClient("acme-python")

    def application():
        assert client._mesh_client, "the mesh's API did not take the application's name"

    def subscribe():
        client._mesh_client.subscribe(SERVICE)
        client.subscribe(SERVICE)

    def sync():
        for i in range(50):
            expect(f"proto:python {i}", call(client, SERVICE, f"python {i}"))
        expect("proto:舢板", call(client, SERVICE, "舢板"))

    def large():
        text = "".join(chr(0x4e00 + i % 5000) for i in range(350_000))
        expect("proto:" + text, call(client, SERVICE, text))

    def concurrent():
        wrong = []

        def talk(thread):
            for i in range(40):
                got = call(client, SERVICE, f"{thread}/{i}")
                if got != f"proto:{thread}/{i}":
                    wrong.append((thread, i, got))

        threads = [threading.Thread(target=talk, args=(t,)) for t in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(TIMEOUT_MS / 1000 * 2)
        assert not any(t.is_alive() for t in threads), "some calls have no answer"
        expect([], wrong)

    def heartbeat():
        done = asyncio.run_coroutine_threadsafe(
            client.invoke_heartbeat(client.mesh_service_address), client._loop)
        try:
            done.result(TIMEOUT_MS / 1000)
        except KeyError:
            pass  # the library wakes who waits for an answered heartbeat, but does not keep the answer
        expect("proto:after", call(client, SERVICE, "after"))

    def publish():
        port = args.own_port or free_port()
        listener = AioListener(("127.0.0.1", port), "acme-python")
        listener.handler.register_interface(OWN, FromPython)
        listener.run_threading()
        wait_for(port)
        meta = ProviderMetaInfo(protocol="1", version="4.0", serializeType="protobuf", appName="acme-python")
        client._mesh_client.publish(PublishServiceRequest(serviceName=OWN, port=str(port), providerMetaInfo=meta))

    def wait_for(port):
        end = time.monotonic() + TIMEOUT_MS / 1000
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                assert time.monotonic() < end, f"nobody listens on {port}"
                time.sleep(0.01)

    def own_service():
        client._mesh_client.subscribe(OWN)
        client.subscribe(OWN)
        expect("python:round trip", call(client, OWN, "round trip"))

    def unpublish():
        client._mesh_client.unpublish(OWN)

    def unsubscribe():
        client._mesh_client.unsubscribe(SERVICE)

    checks.run("application", application)
    checks.run("subscribe", subscribe)
    checks.run("sync", sync)
    checks.run("one-mib", large)
    checks.run("concurrent-answers-not-crossed", concurrent)
    checks.run("heartbeat", heartbeat)
    checks.run("publish", publish)
    if args.own_port:
        checks.run("own-service-is-called", own_service)
    checks.run("unpublish", unpublish)
    checks.run("unsubscribe", unsubscribe)
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
