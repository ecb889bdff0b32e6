"""The rules for what people read: twins in two languages, the talk's table, links.

docs/talk.md promises that each named command, test and file exists; this is where the promise is kept.
"""

import os
import re

FENCE = re.compile(r'^(```|~~~)')
TOP_FOLDERS = ('src/', 'include/', 'tests/', 'docs/', 'tools/', 'fuzz/', 'bench/', 'examples/', 'proto/',
               'packaging/', 'web/')
NOT_YET = 'not yet'
TALK = 'docs/talk.md'
TALK_COLUMNS = 4                       # term, what it is here, command, test


def prose(file):
    """(line number, text) of the lines that are not inside a fenced block."""
    fenced = False
    for at, line in enumerate(file.lines, 1):
        if FENCE.match(line.lstrip()):
            fenced = not fenced
        elif not fenced:
            yield at, line


def headings(file):
    return [line for _, line in prose(file) if re.match(r'#{1,6} ', line)]


def rule_twins(tree, say):
    for file in list(tree.files.values()):
        if file.path.endswith('.zh.md'):
            twin = tree.files.get(file.path[:-len('.zh.md')] + '.md')
            if not twin:
                say(file, 1, 'twin', 'has no English twin')
            elif len(headings(twin)) != len(headings(file)):
                say(file, 1, 'twin',
                    f'{len(headings(file))} headings; its English twin has {len(headings(twin))}')
    readme = tree.files.get('README.md')
    if readme and 'README.zh.md' not in tree.files:
        say(readme, 1, 'twin', 'has no Chinese twin README.zh.md')


def rule_links(tree, say):
    folders = {os.path.dirname(path) for path in tree.paths}
    folders |= {parent for folder in folders for parent in parents(folder)}
    for file in tree.files.values():
        if not file.path.endswith('.md'):
            continue
        for at, line in prose(file):
            for target in re.findall(r'\]\(([^)#\s]+)(?:#[^)]*)?\)', line):
                if re.match(r'[a-z]+:', target):
                    continue
                path = os.path.normpath(os.path.join(os.path.dirname(file.path), target))
                if path not in tree.path_set and path.rstrip('/') not in folders:
                    say(file, at, 'link', f'{target} is not in the tree')


def parents(folder):
    while folder:
        yield folder
        folder = os.path.dirname(folder)


def rule_talk(tree, say):
    file = tree.files.get(TALK)
    if not file:
        return
    targets = set()
    if 'Makefile' in tree.files:
        targets = set(re.findall(r'^([a-z][a-z-]*):', tree.files['Makefile'].text, re.M))
    commands = '\n'.join(f.text for f in tree.c_files('src/cmd/'))
    folders = {parent for path in tree.paths for parent in parents(os.path.dirname(path))}
    for at, line in prose(file):
        if not line.startswith('|') or re.match(r'\|[\s:|-]+\|?$', line):
            continue
        cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
        if cells[0].startswith('term'):
            continue
        if len(cells) != TALK_COLUMNS:
            say(file, at, 'talk', f'{len(cells)} columns; a row has {TALK_COLUMNS}')
            continue
        waiting = NOT_YET in cells[1]
        if waiting and (cells[2] or cells[3]):
            say(file, at, 'talk', f'"{NOT_YET}", and yet it names a command or a test')
        if not waiting and not re.search(r'`(tests|fuzz)/', cells[3]):
            say(file, at, 'talk', f'{cells[0]}: neither "{NOT_YET}" nor a test')
        for named in re.findall(r'`([^`]+)`', line):
            check_named(tree, say, file, at, named, targets, commands, folders)


def check_named(tree, say, file, at, named, targets, commands, folders):
    """One thing in backticks: a path, a path with a test's name, a make target, a program with a verb."""
    words = named.split()
    if words[0].startswith(TOP_FOLDERS):
        path, _, test = (part.strip() for part in named.partition(':'))
        if path not in tree.path_set and path.rstrip('/') not in folders:
            say(file, at, 'talk', f'{path} is not in the tree')
        elif test and path in tree.files and test not in re.findall(r'\w+', tree.files[path].text):
            say(file, at, 'talk', f'{path} has no {test}')
    elif words[0] == 'make' and len(words) > 1:
        if words[1] not in targets:
            say(file, at, 'talk', f'the Makefile has no target {words[1]}')
    elif words[0] in ('sampan', 'sampan-proxy') and len(words) > 1:
        for word in words[1:]:
            if re.match(r'(--)?[a-z][a-z-]+$', word) and f'"{word.lstrip("-")}"' not in commands and \
                    f'"{word}"' not in commands:
                say(file, at, 'talk', f'src/cmd knows no "{word}" ({named})')


RULES = [rule_twins, rule_links, rule_talk]
