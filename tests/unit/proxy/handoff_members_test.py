#!/usr/bin/env python3
"""handoff_members finds what it is there to find: each case is this tree with one thing made up.

    handoff_members_test.py <root of the source>
"""

import os
import sys
import tempfile

import handoff_members as check

# name, {file below src: its text, or a function of it}, what must be said of it; None: nothing is wrong
FACE = "/* h */\nstruct sp_thing;\n"
LIVING = "struct sp_thing {\n    struct sp_list link;\n    bool yes;\n};\n"
CASES = [
    ("a-room-that-nobody-declared", {"ROOMS": lambda text: text + "made : base\n", "made/made.h": LIVING},
     "room made is not known here"),
    ("a-room-that-is-said-to-hold-nothing-and-moves", {"rpc/handoff.h": FACE},
     "room rpc is said to hold nothing that moves"),
    ("a-room-that-is-said-to-move-and-has-no-face", {"lightsdk/handoff.h": None},
     "room lightsdk is said to move, and has no lightsdk/handoff.h"),
    ("a-struct-in-a-room-that-moves", {"link/made.h": LIVING}, "sp_thing (src/link/made.h) lives"),
    ("a-struct-in-a-room-that-stays", {"wire/made.c": LIVING}, "sp_thing (src/wire/made.c) lives"),
    ("a-counter-in-a-struct", {"form/made.h": "struct sp_thing {\n    sp_cell hits;\n};\n"},
     "sp_thing (src/form/made.h) lives"),
    ("a-descriptor-in-a-struct", {"xds/made.h": "struct sp_thing {\n    int up_fd;\n};\n"},
     "sp_thing (src/xds/made.h) lives"),
    ("a-struct-that-only-points", {"form/made.h": "struct sp_thing {\n    struct sp_list *of;\n};\n"}, None),
    ("a-struct-that-is-gone", {"link/conn.h": lambda text: text.replace("struct sp_link {", "struct sp_bond {")},
     "sp_link of room link is named, and is no struct that lives any more"),
    ("a-member-that-nobody-carries",
     {"link/conn.h": lambda text: text.replace("struct sp_conn {", "struct sp_conn {\n    bool made_up;")},
     "sp_conn.made_up is neither in a table of the hand-over nor excused"),
    ("a-counter-that-nobody-carries",
     {"proxy/view.h": lambda text: text.replace("struct sp_tcp_cells {", "struct sp_tcp_cells { sp_cell made_up;")},
     "sp_tcp_cells.made_up is not in a table of the hand-over"),
    ("a-room-that-is-no-more", {"ROOMS": lambda text: text.replace("intercept :", "# intercept :")},
     "room intercept is no room of src/ROOMS any more"),
    ("a-room-of-the-control-plane",
     {"ROOMS": lambda text: text + "pilot : base\n", "pilot/made.h": LIVING}, None),
    ("a-room-of-the-control-plane-in-the-sidecar",
     {"ROOMS": lambda text: text + "pilot : base\n", "pilot/made.h": LIVING,
      "observe/made.c": '#include "pilot/made.h"\n'},
     "src/observe/made.c includes room pilot"),
]


def lay(root, folder, changes):
    """This tree's src by links, save the files that differ."""
    src = os.path.join(folder, "src")
    for at, _, names in os.walk(root + "/src"):
        below = os.path.relpath(at, root + "/src")
        os.makedirs(os.path.join(src, below), exist_ok=True)
        for name in names:
            os.symlink(os.path.join(at, name), os.path.join(src, below, name))
    for name, change in changes.items():
        path, text = os.path.join(src, name), ""
        if os.path.lexists(path):
            with open(path) as f:
                text = f.read()
            os.unlink(path)
        text = change(text) if callable(change) else change
        if text is not None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text)


def main():
    root, failed = os.path.abspath(sys.argv[1]), 0
    before = check.find_troubles(root)      # of the tree itself: another test says them
    print("1..%d" % len(CASES))
    for number, (name, changes, wanted) in enumerate(CASES, 1):
        with tempfile.TemporaryDirectory() as folder:
            lay(root, folder, changes)
            said = [trouble for trouble in check.find_troubles(folder) if trouble not in before]
        good = any(wanted in trouble for trouble in said) if wanted else not said
        failed += not good
        print("%sok %d - %s%s" % ("" if good else "not ", number, name,
                                  "" if good else "\n# want %r, got %r" % (wanted, said[:3])))
    sys.exit(1 if failed else 0)


main()
