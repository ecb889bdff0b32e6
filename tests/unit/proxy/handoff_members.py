#!/usr/bin/env python3
"""Each member of each struct with state is carried to the next process, or is named here with the reason; and each
room with state has a face that moves it, or is named here with the reason why not.

A member that is added to a connection, a call or a worker would be lost in a hot upgrade, silently. So this
reads the structs from their headers and the tables of fields from the files of the hand-over: every member is
told by a field (whose name is in the table), or follows from something else. A name that is no member any more
fails too.

A room that is added, or a struct that hangs on a list, a timer, a socket or counts, would be lost as silently. So
every room of src/ROOMS is in one of the tables below, and every such struct of it is followed member by member or
named with the reason.

    handoff_members.py <root of the source>
"""

import os
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
        "the new process has its own": "process no_mux moved tick line_opened_ns",
        "from the configuration": "snapshot",
        "kept for speed alone": "free_streams free_lines free_stream_count free_line_count",
        "each thing that is under way takes its share": "connection_lease stream_lease",
        "the old process writes what is in it to the logs": "reports reports_mail reports_told reports_direct "
                                                            "on_reports on_reports_arg",
        "what /why remembers ends with the process": "one_report recent failed recent_cap recent_at "
                                                    "failed_at",
        "for giving memory back": "streams_before was_idle",
        "a process that drains is not moved": "draining on_drained deadline drain_ns"}),
}

# Rooms that move. room: (its face, {reason why a struct with state is not followed by its members: structs}).
MOVES = {
    "link": ("link/handoff.h", {
        "the new process has its own; its figures are the worker's": "sp_link"}),
    "proxy": ("proxy/handoff.h", {
        "its cells are followed one by one": "sp_cluster_cells sp_listener_cells sp_chain_cells sp_tcp_cells "
                                             "sp_worker_cells",
        "has a record of its own, field by field": "sp_series endpoint_record worker_record why_record series_record",
        "is of the hand-over itself": "sp_handoff_listener",
        "is in the mail between two threads of one process": "sp_ask update",
        "what was resolved is told with the endpoints; the new process asks again": "name entry sp_resolve"}),
    "lightsdk": ("lightsdk/handoff.h", {
        "is told as a record of its kind": "sp_lightsdk_record sp_lightsdk_shelf"}),
    "observe": ("observe/handoff.h", {
        "its changed settings and times are told": "sp_admin",
        "its figures are told; what waits in the rings is written by the old process": "sp_accesslog",
        "is a page that is being answered: admin's connections are short, and are cut": "sp_ask_all",
        "is made for one page": "sp_subject"}),
    "cmd": ("cmd/sampan-proxy/upgrade.h", {
        "the new process has its own": "proxy_options order thread sockfile",
        "is of the hand-over itself": "upgrade door parting",
        "waits at its start alone, when it has no door for a successor yet": "server",
        "is of the demo, which is not upgraded": "demo demo_dir demo_load seat"}),
}

# Rooms that hold nothing which must move. room: (because, structs with state there).
STAYS = {
    "base": ("it is tools: whoever embeds them carries what is in them", "sp_hist"),
    "io": ("sockets, timers and pumps are carried by whoever embeds them; loops, look-outs, children and the resolver "
           "are a process's own",
           "resolver channel resolver_watch query sp_child_config sp_fd_watch sp_epoll sp_file_log sp_turn sp_loop "
           "sp_loop_body sp_acceptor sp_timer sp_wheel"),
    "form": ("it turns bytes into values while it is called", ""),
    "wire": ("a grammar's state lies in its owner's storage: codec->save and load", ""),
    "model": ("it is what the new process has read of its own configuration", ""),
    "rpc": ("connections of admin and of light SDKs are short, and are cut; the listening sockets are moved by cmd",
            "sp_http_client asked sp_http_line sp_http_door sp_http_server"),
    "xds": ("it reads resources while it is called", ""),
    "upgrade": ("it is the walk itself", "sp_walk_talk"),
    "intercept": ("the kernel holds it, for whichever process serves", ""),
}

# Rooms of the control plane, which is restarted and not upgraded: nothing of the sidecar may include them.
ELSEWHERE = "store config registry citadel pilot console sdk".split()

# What makes a struct one that lives: it hangs on something, waits for something, holds a descriptor or counts.
LIVES = re.compile(r"\bstruct sp_(?:list|timer|sock|conn|acceptor|hist|lease|mail|pump)\s+\w|\bsp_cell\s+\w|"
                   r"\bint (?:\w*fd|sock|listening)\b")
FALSE_WORLD = "io/sim/"     # tests alone run in it


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


def sources(root, room):
    """Name below src -> text without comments."""
    found = {}
    for folder, _, names in os.walk("%s/src/%s" % (root, room), followlinks=True):
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), root + "/src")
            if name.endswith((".c", ".h")) and not path.startswith(FALSE_WORLD):
                with open(os.path.join(folder, name)) as f:
                    found[path] = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    return found


def living(texts):
    """Struct -> the file that has it, of those that live."""
    found = {}
    for path, text in texts.items():
        for at in re.finditer(r"^struct (\w+)\s*\{(.*?)^\}", text, re.M | re.S):
            if LIVES.search(at.group(2)):
                found[at.group(1)] = path
    return found


def check_room(root, room, troubles):
    texts = sources(root, room)
    faces = [path for path in texts if path.endswith("/handoff.h")]
    if room in MOVES:
        face, others = MOVES[room]
        named = [name for names in others.values() for name in names.split()]
        if face not in texts:
            troubles.append("room %s is said to move, and has no %s" % (room, face))
    elif room in STAYS:
        named = STAYS[room][1].split()
        if faces:
            troubles.append("room %s is said to hold nothing that moves (%s), and has %s: say in MOVES what it moves"
                            % (room, STAYS[room][0], faces[0]))
    else:
        troubles.append("room %s is not known here: give it a handoff.h and a line in MOVES, or say in STAYS why "
                        "nothing in it has to move" % room)
        return
    there = living(texts)
    for name, path in there.items():
        if name not in named and name not in STRUCTS:
            troubles.append("%s (src/%s) lives, and is neither followed in STRUCTS nor named under its room %s with "
                            "the reason why not" % (name, path, room))
    for name in named:
        if name not in there:
            troubles.append("%s of room %s is named, and is no struct that lives any more" % (name, room))


def check_elsewhere(root, room, rooms, troubles):
    """A room of the control plane stays out of the sidecar."""
    for other in [name for name in rooms if name not in ELSEWHERE]:
        for path, text in sources(root, other).items():
            if '#include "%s/' % room in text and not path.startswith("cmd/sampan/"):
                troubles.append("src/%s includes room %s, which is said to be no part of the sidecar" % (path, room))


def check_rooms(root, troubles):
    with open(root + "/src/ROOMS") as f:
        rooms = re.findall(r"^([a-z][a-z0-9]*)\s*:", f.read(), re.M)
    for room in rooms:
        if room in ELSEWHERE:
            check_elsewhere(root, room, rooms, troubles)
        else:
            check_room(root, room, troubles)
    for room in list(MOVES) + list(STAYS):
        if room not in rooms:
            troubles.append("room %s is no room of src/ROOMS any more" % room)


def find_troubles(root):
    told, troubles = fields(root), []
    for struct in STRUCTS:
        check_struct(root, struct, told, troubles)
    check_cells(root, told, troubles)
    check_rooms(root, troubles)
    return troubles


def main():
    troubles = find_troubles(sys.argv[1])
    for trouble in troubles:
        print("handoff_members: %s" % trouble)
    sys.exit(1 if troubles else 0)


if __name__ == "__main__":
    main()
