"""The rules for C files and for the tree. Each is a function (tree, say); the table is at the end.

`say(file, line, rule, message)` reports a breach; it drops the ones that a comment explains: the line
above, or the line itself, says `tidy: RULE because ...`. A long function may also say `long because ...`
and a wide struct `wide because ...`.
"""

import os
import re

LINE_MAX = 110                          # of C and of build files
SCRIPT_LINE_MAX = 120
FILE_MAX = 1000
FUNCTION_NOTE = 70
FUNCTION_MAX = 100
FACE_MAX = 250
FIELDS_MAX = 24
MACRO_MAX = 10
ESSAY = (5, 40)

OUTSIDE_ROOMS = ('io', 'intercept', 'cmd')

BANNED = 'strcpy strcat sprintf vsprintf strtok strtok_r strncpy gets atoi atol gmtime localtime rand ' \
         'srand random system popen sleep usleep alloca'.split()
MEMORY = 'malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf posix_memalign ' \
         'aligned_alloc memalign'.split()
WORLD = 'read write pread pwrite readv writev recv recvfrom recvmsg send sendto sendmsg open openat fopen ' \
        'clock_gettime gettimeofday time nanosleep getrandom getenv secure_getenv socket accept accept4 ' \
        'epoll_create1 epoll_ctl epoll_wait poll select fork execve execvp printf fprintf vfprintf puts ' \
        'fputs fwrite perror'.split()
THREADS = ['pthread_create', 'thrd_create']

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def calls(words):
    return re.compile(r'(?<![\w.>])(%s)\s*\(' % '|'.join(words))


CALLS_BANNED, CALLS_MEMORY, CALLS_WORLD, CALLS_THREADS = map(calls, (BANNED, MEMORY, WORLD, THREADS))


# --- rooms -----------------------------------------------------------------------------------------------

def read_rooms(tree, say):
    """src/ROOMS as {room: [what it may include]}, in the file's order."""
    file = tree.files.get('src/ROOMS')
    rooms = {}
    if not file:
        return rooms
    for at, line in enumerate(file.lines, 1):
        if not line.strip() or line.startswith('#'):
            continue
        match = re.match(r'([a-z][a-z0-9]*)\s*:\s*(.*)$', line)
        if not match:
            say(file, at, 'rooms', 'not a line `room : what it may include`')
            continue
        room, allowed = match.group(1), match.group(2).split()
        for name in allowed:
            if name != '*' and name.split('/')[0] not in rooms:
                say(file, at, 'rooms', f'{room} names {name}, not a room above it: rooms have no cycle')
        rooms[room] = allowed
    return rooms


def rule_rooms(tree, say):
    rooms = read_rooms(tree, say)
    if not rooms:
        return
    known = {path.split('/')[1] for path in tree.paths if path.startswith('src/') and path.count('/') > 1}
    for room in sorted(known - set(rooms)):
        say(tree.files['src/ROOMS'], 1, 'rooms', f'src/{room} is not in src/ROOMS')
    page = tree.files.get('docs/rooms.md')
    for room in rooms if page else ():
        if not re.search(r'^\| %s \|' % room, page.text, re.M):
            say(page, 1, 'rooms', f'has no row for the room {room}')
    for file in tree.c_files('src/', 'tests/', 'fuzz/'):
        for match in INCLUDE.finditer(file.text):
            line = file.text.count('\n', 0, match.start()) + 1
            if file.comments and any(c.first < line <= c.last for c in file.comments):
                continue
            check_include(tree, say, rooms, file, line, match.group(1), match.group(2))


def check_include(tree, say, rooms, file, line, quote, name):
    room = name.split('/')[0]
    if quote == '<':
        if room in rooms and '/' in name:
            say(file, line, 'include', f'<{name}>: a face is included with quotes')
        return
    if file.room is None:                                  # a test or a fuzz target
        own = file.path.split('/')[2] if file.path.startswith('tests/unit/') else None
        if file.path.startswith('fuzz/'):
            own = file.path.split('/')[1].split('_')[0]        # fuzz/ROOM_thing.c
        if name.endswith('_impl.h') and room in rooms and room != own:
            say(file, line, 'include', f'{name}: a test sees the private header of its own room only')
        return
    if '/' not in name or room not in rooms:
        say(file, line, 'include', f'"{name}": written "room/thing.h"')
        return
    if 'src/' + name not in tree.path_set and not generated(tree, name):
        say(file, line, 'include', f'"{name}" is not in the tree')
    if room == file.room:
        return
    if name.endswith('_impl.h'):
        say(file, line, 'include', f'"{name}" is private to {room}')
    allowed = rooms.get(file.room, [])
    if '*' not in allowed and room not in allowed and name not in allowed:
        say(file, line, 'include', f'src/ROOMS does not let {file.room} include "{name}"')


def generated(tree, name):
    """A header that the room's meson.build makes: its name is written there."""
    build = tree.files.get('src/%s/meson.build' % name.split('/')[0])
    return bool(build) and os.path.basename(name).rsplit('.', 1)[0] in build.text


def rule_own_face_first(tree, say):
    for file in tree.c_files('src/'):
        if not file.path.endswith('.c') or not file.room or file.room == 'cmd':
            continue
        first = INCLUDE.search(file.text)
        if not first:
            continue
        line = file.text.count('\n', 0, first.start()) + 1
        stem = file.path[len('src/'):-2]
        own = [stem + '.h', stem + '_impl.h']
        wanted = next((name for name in own if 'src/' + name in tree.path_set), None)
        if wanted and first.group(2) != wanted:
            say(file, line, 'include', f'includes its own face "{wanted}" first')


def rule_needless_include(tree, say):
    """A header includes only what its own declarations need."""
    said = {}
    for file in tree.c_files('src/'):
        if file.path.endswith('.h'):
            said[file.path[len('src/'):]] = set(re.findall(r'\b(?:sp|SP)_\w+', file.code))
    for file in tree.c_files('src/'):
        if not file.path.endswith('.h'):
            continue
        used = said[file.path[len('src/'):]]
        for match in INCLUDE.finditer(file.text):
            names = said.get(match.group(2))
            if match.group(1) == '"' and names and not names & used:
                line = file.text.count('\n', 0, match.start()) + 1
                say(file, line, 'include', f'"{match.group(2)}": nothing that it declares is used here')


# --- words that may not be called ------------------------------------------------------------------------

def rule_calls(tree, say):
    for file in tree.c_files():
        in_src = file.room is not None
        own = {function.name for function in file.functions()}
        report_calls(say, file, CALLS_BANNED, own, 'banned', 'is banned in the whole tree')
        if '({' in file.code:
            say(file, file.line_of(file.code.index('({')), 'banned', 'statement expressions are banned')
        if not in_src:
            continue
        if file.room != 'base':
            report_calls(say, file, CALLS_MEMORY, own, 'memory', 'outside base: use sp_mem_*, arenas, pools')
        if file.room not in OUTSIDE_ROOMS:
            report_calls(say, file, CALLS_WORLD, own, 'world', 'outside io, intercept and cmd')
        if file.room != 'cmd':
            report_calls(say, file, CALLS_THREADS, own, 'threads', 'threads are made in cmd alone')


def report_calls(say, file, pattern, own, rule, why):
    for match in pattern.finditer(file.code):
        if match.group(1) in own:
            continue
        before = file.code[max(0, match.start() - 40):match.start()]
        if re.search(r'#\s*define\s+$', before):
            continue
        say(file, file.line_of(match.start()), rule, f'{match.group(1)}: {why}')


# --- the head of a file ----------------------------------------------------------------------------------

def rule_head(tree, say):
    for file in tree.c_files():
        if not file.text.strip():
            continue
        opens = file.comments and file.comments[0].first == 1 and file.text.startswith('/*')
        if file.path.endswith('.h'):
            if not opens:
                say(file, 1, 'purpose', 'a header opens with a comment that says what the thing is')
            if not re.search(r'^#\s*(pragma\s+once|ifndef)', file.code, re.M):
                say(file, 1, 'guard', 'has neither #pragma once nor a guard')
            continue
        if not opens:
            say(file, 1, 'essay', 'opens with a comment that says what this is in the system')
        elif file.room:
            height = file.comments[0].prose_lines()
            if not ESSAY[0] <= height <= ESSAY[1]:
                say(file, 1, 'essay', f'an essay has {ESSAY[0]} to {ESSAY[1]} lines, this has {height}')


# --- sizes -----------------------------------------------------------------------------------------------

def rule_sizes(tree, say):
    for file in tree.files.values():
        code = file.is_c or file.path.endswith(('.py', '.sh', '.js', '.ts', '.java'))
        height = len(file.lines) - (file.lines[-1] == '')
        if code and height > FILE_MAX:
            say(file, 1, 'file-length', f'{height} lines; a file has at most {FILE_MAX}')
        if file.room and file.path.endswith('.h') and not file.path.endswith('_impl.h') and height > FACE_MAX:
            say(file, 1, 'face-length', f'{height} lines; a face has at most {FACE_MAX}')
    for file in tree.c_files():
        for function in file.functions():
            if function.code_lines > FUNCTION_MAX:
                if not file.explained(function.first, ('long because',)):
                    say(file, function.first, 'function-length',
                        f'{function.name} has {function.code_lines} lines; at most {FUNCTION_MAX}, or the '
                        'line above says `long because ...`')
            elif function.code_lines > FUNCTION_NOTE:
                say(file, function.first, 'function-length',
                    f'{function.name} has {function.code_lines} lines: think again', note=True)


def rule_macros(tree, say):
    for file in tree.c_files():
        at = 0
        while at < len(file.code_lines):
            start = at
            if not re.match(r'\s*#\s*define\b', file.code_lines[at]):
                at += 1
                continue
            while file.code_lines[at].rstrip().endswith('\\') and at + 1 < len(file.code_lines):
                at += 1
            height = at - start + 1
            if height > MACRO_MAX:
                say(file, start + 1, 'macro', f'{height} lines; a macro has at most {MACRO_MAX}')
            if file.room and re.search(r'\b(return|goto)\b', ' '.join(file.code_lines[start:at + 1])):
                say(file, start + 1, 'macro', 'hides control flow (return or goto)')
            at += 1


STRUCT = re.compile(r'\b(?:struct|union)\s+(\w+)\s*\{')


def rule_fields(tree, say):
    for file in tree.c_files():
        for match in STRUCT.finditer(file.code):
            depth, fields, at, round_depth = 1, 0, match.end(), 0
            while at < len(file.code) and depth:
                char = file.code[at]
                depth += (char == '{') - (char == '}')
                round_depth += (char == '(') - (char == ')')
                if depth == 1 and round_depth == 0 and char in ';,':
                    fields += 1
                at += 1
            only_cells = not re.search(r'\b(?!sp_cell\b)\w+\s+\w+\s*[;,\[]', file.code[match.end():at])
            line = file.line_of(match.start())
            if fields > FIELDS_MAX and not only_cells and not file.explained(line, ('wide because',)):
                say(file, line, 'fields',
                    f'struct {match.group(1)} has {fields} fields; at most {FIELDS_MAX}: '
                    'split by concern, or the line above says `wide because ...`')


# --- state, names, control flow --------------------------------------------------------------------------

DECLARATION = re.compile(r'^(static|extern|_Thread_local|thread_local)\b([^;{}()=\[]*)(\(|=|;|\[)', re.M)
LOCAL_STATIC = re.compile(r'^[ \t]+static\b([^;{}()=\[]*)(=|;|\[)', re.M)
PLAIN_GLOBAL = re.compile(r'^(?!static|extern|typedef|struct\s+\w+\s*;|union\s+\w+\s*;|enum\b|#|_Static)'
                          r'([A-Za-z_][\w \t*]*?[\s*])(\w+)\s*(=|;|\[[^\]\n]*\]\s*(?:=|;))', re.M)


def is_const(declarator):
    """The thing itself is const: no star, and const said; or const after the last star."""
    tail = declarator.rsplit('*', 1)
    return bool(re.search(r'\bconst\b', tail[-1]))


def rule_state(tree, say):
    for file in tree.c_files('src/'):
        header = file.path.endswith('.h')
        outside = file.outside_functions()
        for match in DECLARATION.finditer(outside):
            kind, declarator, end = match.groups()
            if end == '(' or is_const(declarator) or not re.search(r'\w', declarator):
                continue
            line = outside.count('\n', 0, match.start()) + 1
            if header:
                say(file, line, 'state', 'no variable in a header, save const tables')
            elif file.room != 'cmd' and kind != 'extern':
                say(file, line, 'state', 'no mutable state outside cmd: it hangs on a loop, worker or server')
        if header or file.room == 'cmd':
            continue
        for match in PLAIN_GLOBAL.finditer(outside):
            if not is_const(match.group(1)) and nesting(outside, match.start()) == 0:
                say(file, outside.count('\n', 0, match.start()) + 1, 'state',
                    f'{match.group(2)} is mutable state of the whole program')
        for match in LOCAL_STATIC.finditer(file.code):
            if not is_const(match.group(1)):
                say(file, file.line_of(match.start()), 'state', 'a static inside a function is mutable state')
        if re.search(r'__attribute__\s*\(\(\s*(constructor|destructor)', file.code):
            say(file, 1, 'state', 'no constructors: registration is a table that can be read')


def nesting(code, offset):
    return code.count('{', 0, offset) - code.count('}', 0, offset)


def rule_names(tree, say):
    for file in tree.c_files('src/'):
        if file.room == 'cmd':
            continue
        for function in file.functions():
            prefixed = function.name.startswith('sp_')
            if file.path.endswith('.c') and function.static and prefixed:
                say(file, function.first, 'name', f'{function.name} is static: it drops the prefix')
            elif not function.static and not prefixed:
                say(file, function.first, 'name', f'{function.name} has linkage: it starts with sp_')
            elif file.path.endswith('.h') and not prefixed:
                say(file, function.first, 'name', f'{function.name} is in a header: it starts with sp_')
    brace = re.compile(r'^[A-Za-z_][^;=#\n]*\)[ \t]*\{', re.M)
    for file in tree.c_files():
        for match in brace.finditer(file.code):
            say(file, file.line_of(match.start()), 'brace', 'the brace of a function stands on its own line')


LABEL = re.compile(r'^[ \t]*(\w+):(?!:)[ \t]*$', re.M)


def rule_goto(tree, say):
    for file in tree.c_files('src/'):
        for function in file.functions():
            body = '\n'.join(file.code_lines[function.open_line - 1:function.close_line])
            labels = {match.group(1): match.start() for match in LABEL.finditer(body)}
            for match in re.finditer(r'\bgoto\s+(\w+)\s*;', body):
                line = function.open_line + body.count('\n', 0, match.start())
                target = match.group(1)
                if not target.startswith('fail'):
                    say(file, line, 'goto', f'goto {target}: the one goto is to fail_x, to unwind')
                elif labels.get(target, len(body)) < match.start():
                    say(file, line, 'goto', f'goto {target} goes backward')


def rule_dropped_results(tree, say):
    """A result that is cast to (void) says why: on its line, or above."""
    pattern = re.compile(r'^[ \t]*\(void\)\s*\w+(?:->\w+|\.\w+)*\s*\(', re.M)
    for file in tree.c_files('src/'):
        for match in pattern.finditer(file.code):
            line = file.line_of(match.start())
            near = file.lines[max(0, line - 3):line + 1]
            if not any('/*' in text or '*/' in text for text in near):
                say(file, line, 'dropped', 'a result is cast to (void) without a reason beside it')


# --- text ------------------------------------------------------------------------------------------------

WORDS = re.compile(r'\b(TODO|FIXME|XXX|HACK|[Ss]tub(?:s|bed)?|[Nn]ot implemented)\b')
MACHINE = re.compile(r'(?<![\w.])/(?:home|root|work|Users)/|\.\./shared|\bfarm-\w|/tmp/\w+/')

TELLING_WORDS = ((WORDS, 'word', 'an issue, or nothing'), (MACHINE, 'machine', 'is a path of one machine'))


def line_max(file):
    name = os.path.basename(file.path)
    if file.is_c or name == 'meson.build':
        return LINE_MAX
    if (file.path.endswith(('.py', '.sh')) or '.' not in name) and name != 'tidy_test.py':   # its trees are wide
        return SCRIPT_LINE_MAX
    return 100000


def rule_text(tree, say):
    for file in tree.files.values():
        name = os.path.basename(file.path)
        widest = line_max(file)
        for at, line in enumerate(file.lines, 1):
            if len(line) > widest:
                say(file, at, 'line-length', f'{len(line)} columns; at most {widest}')
            if '\t' in line and name != 'Makefile' and not file.path.endswith(('.go', '.md')):
                say(file, at, 'tab', 'four spaces, no tabs')
            if line.endswith((' ', '\r')):
                say(file, at, 'blank', 'blanks at the end of the line')
        own = file.path.startswith('tools/tidy')             # names the words in order to find them
        for pattern, rule, why in () if own else TELLING_WORDS:
            for match in pattern.finditer(file.text):
                say(file, file.text.count('\n', 0, match.start()) + 1, rule, f'{match.group()}: {why}')
        if file.text and not file.text.endswith('\n'):
            say(file, len(file.lines), 'blank', 'no line end at the end of the file')
    for file in tree.c_files():
        for comment in file.comments:
            if comment.text.startswith('//'):
                say(file, comment.first, 'comment', 'comments are /* */')


# --- the tree --------------------------------------------------------------------------------------------

def rule_dead_files(tree, say):
    builds = {os.path.dirname(path): file.text for path, file in tree.files.items()
              if os.path.basename(path) == 'meson.build'}
    scripts = '\n'.join(file.text for path, file in tree.files.items()
                        if not file.is_c and not path.endswith('.md') and not path.startswith('src/'))
    included = set()
    for file in tree.c_files():
        included.update(os.path.basename(match.group(2)) for match in INCLUDE.finditer(file.text))
    for file in tree.c_files():
        name = os.path.basename(file.path)
        if file.path.endswith('.h'):
            if name not in included and not file.path.startswith('include/'):
                say(file, 1, 'dead', 'no file includes this header')
        elif not in_build(builds, file.path):
            if file.path.startswith('src/') or not re.search(r'(?<![\w-])%s' % re.escape(name), scripts):
                say(file, 1, 'dead', 'no meson.build names this file')


def in_build(builds, path):
    folder = os.path.dirname(path)
    while True:
        below = path[len(folder) + 1:] if folder else path
        text = builds.get(folder, '')
        if "'%s'" % below in text or "'%s'" % below[:-2] in text:
            return True
        if not folder:
            return False
        folder = os.path.dirname(folder)


def rule_mirror(tree, say):
    rooms = read_rooms(tree, lambda *_: None)
    for file in tree.c_files('tests/unit/'):
        parts = file.path.split('/')
        if len(parts) < 4 or parts[2] not in rooms:
            say(file, 1, 'mirror', 'stands as tests/unit/<room>/<thing>.c')
            continue
        room, stem = parts[2], parts[-1].rsplit('.', 1)[0]
        words = stem.split('_')
        stems = {'_'.join(words[:count]) for count in range(1, len(words) + 1)} | set(parts[3:-1])
        there = any(path.startswith(f'src/{room}/') and
                    stems & {part.rsplit('.', 1)[0] for part in path.split('/')[2:]} for path in tree.paths)
        if file.path.endswith('.c') and not there:
            say(file, 1, 'mirror', f'src/{room} has no {stem}')


def rule_test_names(tree, say):
    for file in tree.c_files('tests/'):
        for match in re.finditer(r'\bcmocka_unit_test(?:_\w+)?\s*\(\s*(\w+)', file.code):
            if match.group(1).count('_') < 2 and not match.group(1).isupper() and \
                    '#' not in file.code_lines[file.line_of(match.start()) - 1]:
                say(file, file.line_of(match.start()), 'test-name',
                    f'{match.group(1)}: a test\'s name is a sentence')


RULES = [
    rule_rooms, rule_own_face_first, rule_needless_include, rule_calls, rule_head, rule_sizes, rule_macros,
    rule_fields, rule_state, rule_names, rule_goto, rule_dropped_results, rule_text, rule_dead_files,
    rule_mirror, rule_test_names,
]
