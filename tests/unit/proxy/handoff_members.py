#!/usr/bin/env python3
"""Each member of each struct with state is carried to the next process, or is named here with the reason.

A member that is added to a connection, a call or a worker would be lost in a hot upgrade, silently. So this
reads the structs from their headers and the tables of fields from the files of the hand-over: every member is
told by a field (whose name is in the table), or follows from something else. A name that is no member any more
fails too.

    handoff_members.py <root of the source>
"""

import re
import sys

TABLES = ["link/handoff.c"] + ["proxy/handoff_%s.c" % f for f in
                               ("cluster", "figures", "line", "listener", "relay", "stream")]

# struct: (header, {member: field of a table}, {reason: members}); a member with a field of its own name is
# carried without being named here.
STRUCTS = {
    "sp_sock": ("io/sock.h", {"fd": "fd", "ended": "sock_ended", "shut": "sock_shut", "late": "sock_late",
                              "state": "sock_broken"}, {
        "the new process has its own": "loop ops link",
        "the kernel is asked again": "interest read_full starved over",
        "follows from its owner's state": "into pump_out pump_in pumped reading room_wanted"}),
    "sp_conn": ("link/conn.h", {"sock": "fd", "codec": "protocol", "in_at": "in", "in_len": "in",
                                "out_last": "out", "out_bytes": "out",
                                "codec_state": "state"}, {
        "the new process has its own": "ops link",
        "what it wants of a turn's end follows from what waits": "work_link wants",
        "the first send finds out": "wait_room",
        "lines that connect stay behind": "connecting",
        "follows from held and in": "starved",
        "no decoding and no closing between two turns": "decoding closed"}),
    "sp_pump": ("io/pump.h", {"held": "to_up", "held_at": "to_up", "held_end": "to_up", "running": "up_runs"}, {
        "the relay has it": "from to on_moved on_done",
        "drained into held": "piped pipe",
        "a flow begins by copying": "mode run",
        "relays never stop one": "stopping"}),
    "sp_line": ("proxy/line.h", {"receiving": "tie", "wait_link": "tie", "waiters": "tie", "origin": "peer",
                                 "conn": "line", "timer": "linger_ns", "pool_link": "place", "mux": "line",
                                 "calls_in": "caller", "calls_out": "callee"}, {
        "the new process has its own": "worker link"}),
    "sp_line_mux": ("proxy/line.h", {"ids": "callee_id", "sending": "tie", "behind": "tie", "binds": "tie",
                                     "bind_link": "tie", "bound": "tie"}, {}),
    "sp_stream": ("proxy/stream.h", {"table": "has_route", "choice": "route", "request": "request.kind",
                                     "answer": "answer.kind", "path": "canonical", "codec": "protocol",
                                     "request_slab": "raw", "held_first": "held", "held_last": "held",
                                     "held_bytes": "held", "behind_link": "tie", "started_wall_ns": "wall_ns",
                                     "waits": "state"}, {
        "the new process has its own": "worker link arena storage held_spare",
        "their order is the records'": "in_link out_link pool_link",
        "set from the times": "timer"}),
    "sp_intake": ("proxy/intake_impl.h", {"conn": "listener", "timer": "left_ns", "origin": "peer"}, {
        "the new process has its own": "link",
        "set when it is cut, and then it is gone": "why"}),
    "sp_relay": ("proxy/tcp_impl.h", {"down": "fd", "up": "up_fd", "to_up": "to_up", "to_down": "to_down",
                                      "origin": "peer", "up_open": "connected"}, {
        "the new process has its own": "link worker",
        "set from the times": "timer",
        "found by what it counts": "series",
        "it is gone at the turn's end": "closing",
        "follows from connected": "moved socks"}),
    "sp_endpoint": ("proxy/cluster.h", {"healthy": "unhealthy", "idle": "place", "busy": "place",
                                        "lingering": "place", "pending": "state", "pending_count": "state"}, {
        "the new process has its own": "link text",
        "each thing that uses it counts itself": "users active cx_active",
        "lines that connect stay behind": "connecting connecting_count",
        "false between two turns": "mark serving",
        "found by the next call": "last_series"}),
    "sp_balance": ("proxy/balance.h", {}, {
        "from the configuration": "kind choices ring ring_count ring_min ring_max",
        "from the endpoints": "endpoints usable usable_count equal_weights weight_total",
        "the new process has its own": "rng"}),
    "sp_cluster": ("proxy/cluster.h", {"balance": "at", "cells": "cells.rq_total"}, {
        "the new process has its own": "worker link by_dst",
        "from the configuration": "resource spec limits shared",
        "endpoints have records of their own": "all set set_count",
        "each thing that uses it counts itself": "connections pending requests retries users",
        "the new process asks its own name server": "resolved"}),
    "sp_chain": ("proxy/listener.h", {"spec": "name", "cells": "cells.rq_total", "tcp": "tcp.cx_total"}, {
        "from the configuration": "resource limits",
        "each thing that uses it counts itself": "users",
        "means something within one call only": "fits"}),
    "sp_listener": ("proxy/listener.h", {"spec": "name", "acceptor": "fd", "doors": "fd", "accepting": "fd",
                                         "chains": "place", "cells": "cells.cx_total"}, {
        "the new process has its own": "worker link",
        "from the configuration": "resource chain_count",
        "each connection counts itself": "active connections own"}),
    "sp_listener_door": ("proxy/listener.h", {"acceptor": "fd"}, {
        "the new process has its own": "link"}),
    "sp_worker": ("proxy/worker.h", {"cells": "cells.streams_total", "link": "bytes_in", "listeners": "listener",
                                     "gone_listeners": "listener", "clusters": "cluster",
                                     "gone_clusters": "cluster", "streams": "number", "lines": "line",
                                     "intakes": "proxy_header_done", "relays": "up_fd", "series": "requests",
                                     "series_by_key": "requests", "series_count": "requests",
                                     "loop": "now_ns"}, {
        "the new process has its own": "process no_mux moved tick",
        "from the configuration": "snapshot",
        "kept for speed alone": "free_streams free_lines free_stream_count free_line_count",
        "each thing that is under way takes its share": "connection_lease stream_lease",
        "the old process writes what is in it to the logs": "reports reports_mail reports_told reports_direct "
                                                            "on_reports on_reports_arg",
        "what /why remembers ends with the process": "one_report recent recent_cap recent_at",
        "for giving memory back": "streams_before was_idle",
        "a process that drains is not moved": "draining on_drained deadline drain_ns"}),
}


def members(text, struct):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    at = re.search(r"struct %s \{" % struct, text)
    if not at:
        return None
    depth, end = 1, at.end()
    while depth:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    body = text[at.end():end - 1].replace("union {", "").replace("}", "")
    names = []
    for declaration in body.split(";"):
        declaration = re.sub(r"\[.*?\]|:\s*\d+", "", " ".join(declaration.split()))
        pointer = re.search(r"\(\*(\w+)\)", declaration)
        if pointer:
            names.append(pointer.group(1))
        elif declaration:
            names += [re.findall(r"\w+", part)[-1] for part in declaration.split(",")]
    return names


def fields(root):
    found = set()
    for table in TABLES:
        with open("%s/src/%s" % (root, table)) as f:
            text = f.read()
        found |= set(re.findall(r"FIELD\(\s*\d+,\s*\w+,\s*(?:RECORD,\s*)?([\w.\[\]]+)", text))
        found |= set(re.findall(r"SPARE\(\s*\d+,\s*\w+,\s*RECORD,\s*([\w.\[\]]+)", text))
        found |= set(re.findall(r"CELL\(\s*\d+,\s*([\w.]+)", text))
    return found


def check_struct(root, struct, told, troubles):
    header, carried, others = STRUCTS[struct]
    with open("%s/src/%s" % (root, header)) as f:
        has = members(f.read(), struct)
    if not has:
        troubles.append("%s is not in %s" % (struct, header))
        return
    excused = [m for names in others.values() for m in names.split()]
    for member in has:
        field = carried.get(member, member)
        if member not in excused and field not in told and field + "[0]" not in told:
            troubles.append("%s.%s is neither in a table of the hand-over nor excused" % (struct, member))
        if member in excused and member in carried:
            troubles.append("%s.%s is carried and excused" % (struct, member))
    for member in excused + list(carried):
        if member not in has:
            troubles.append("%s.%s is no member any more" % (struct, member))


def check_cells(root, told, troubles):
    """Every counter has a field; gauges count themselves."""
    with open("%s/src/proxy/view.h" % root) as f:
        text = f.read()
    for struct, prefix in (("sp_cluster_cells", "cells"), ("sp_listener_cells", "cells"),
                           ("sp_chain_cells", "cells"), ("sp_tcp_cells", "tcp"), ("sp_worker_cells", "cells")):
        for cell in members(text, struct):
            gauge = cell.endswith("_active") or cell == "why"
            if not gauge and "%s.%s" % (prefix, cell) not in told:
                troubles.append("%s.%s is not in a table of the hand-over" % (struct, cell))


def main():
    root = sys.argv[1]
    told, troubles = fields(root), []
    for struct in STRUCTS:
        check_struct(root, struct, told, troubles)
    check_cells(root, told, troubles)
    for trouble in troubles:
        print("handoff_members: %s" % trouble)
    sys.exit(1 if troubles else 0)


main()
