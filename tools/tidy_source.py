"""How tidy sees a tree: its files, and a C file as code, comments, functions and structs.

No parser: the house's own shape is relied upon. A function's braces stand alone in the first column, so a
function is what is between a line `{` and the next line `}`; a file that is not so is found by a rule of
its own. Comments and the insides of strings are blanked with their line ends kept, so that a word found in
the code is in the code and line numbers stay true.
"""

import os
import re
import subprocess

SKIP_FOLDERS = {'.git', 'node_modules', 'target', '__pycache__', 'results'}
C_FOLDERS = ('src', 'include', 'tests', 'fuzz', 'examples', 'bench')
TEXT_ENDS = ('.c', '.h', '.py', '.sh', '.md', '.build', '.yaml', '.yml', '.proto', '.js', '.mjs', '.ts',
             '.java', '.xml', '.service', '.conf', '.8', '.1', '.txt')
DATA_FOLDERS = ('tests/conform/', 'fuzz/corpus/', 'bench/results/')

TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
NOT_LINE_END = re.compile(r'[^\n]')
SIGNATURE_NAME = re.compile(r'([A-Za-z_]\w*)\s*\(')
ATTRIBUTE = re.compile(r'__attribute__\s*\(\(.*?\)\)')


class Comment:
    def __init__(self, text, first, last):
        self.text, self.first, self.last = text, first, last

    def prose_lines(self):
        """Lines that say something: without the frame of stars."""
        bare = (line.strip(' \t*/') for line in self.text.split('\n'))
        return sum(1 for line in bare if line)


class Function:
    def __init__(self, name, first, open_line, close_line, static, code_lines):
        self.name, self.first, self.static = name, first, static
        self.open_line, self.close_line, self.code_lines = open_line, close_line, code_lines


class File:
    """One text file of the tree. `path` is relative to the root, with slashes."""

    def __init__(self, path, text):
        self.path, self.text = path, text
        self.lines = text.split('\n')
        self.is_c = path.endswith(('.c', '.h')) and path.startswith(C_FOLDERS)
        parts = path.split('/')
        self.room = parts[1] if parts[0] == 'src' and len(parts) > 2 else None
        self.comments, self.code, self.code_lines = [], '', []
        if self.is_c:
            self._split()

    def _split(self):
        """Blank comments and the insides of strings; keep the comments beside."""
        pieces, done, line = [], 0, 1
        for token in TOKEN.finditer(self.text):
            start, end = token.span()
            word = token.group()
            pieces.append(self.text[done:start])
            line += self.text.count('\n', done, start)
            if word[0] == '/':
                height = word.count('\n')
                self.comments.append(Comment(word, line, line + height))
                pieces.append(NOT_LINE_END.sub(' ', word))
                line += height
            else:
                pieces.append(word[0] + ' ' * (len(word) - 2) + word[-1])
            done = end
        pieces.append(self.text[done:])
        self.code = ''.join(pieces)
        self.code_lines = self.code.split('\n')
        self._comment_ending = {c.last: c for c in self.comments}

    def explained(self, line, words):
        """Does a comment on this line, or one that ends right above, hold one of the words?"""
        if not self.is_c:
            near = self.lines[max(0, line - 2):line]
            return any(word in text for word in words for text in near)
        for at in (line, line - 1):
            comment = self._comment_ending.get(at)
            if comment and any(word in re.sub(r'\s*\n[ *]*', ' ', comment.text) for word in words):
                return True
        return False

    def line_of(self, offset):
        return self.code.count('\n', 0, offset) + 1

    def functions(self):
        if not hasattr(self, '_functions'):
            self._functions = list(self._find_functions())
        return self._functions

    def _find_functions(self):
        lines, at = self.code_lines, 0
        while at < len(lines):
            if lines[at].rstrip() != '{' or lines[at][0] != '{':
                at += 1
                continue
            first = at
            while first > 0 and lines[first - 1].strip() and lines[first - 1].rstrip()[-1] not in ';}':
                if lines[first - 1].startswith('#'):
                    break
                first -= 1
            end = at + 1
            while end < len(lines) and not lines[end].startswith('}'):
                end += 1
            signature = ATTRIBUTE.sub(' ', ' '.join(lines[first:at]))
            name = SIGNATURE_NAME.search(signature)
            if name and '(' in signature:
                body = sum(1 for line in lines[at + 1:end] if line.strip())
                yield Function(name.group(1), first + 1, at + 1, end + 1,
                               bool(re.search(r'\bstatic\b', signature)), body)
            at = end + 1

    def outside_functions(self):
        """The code with every function's body, and all preprocessor lines, blanked."""
        lines = list(self.code_lines)
        for function in self.functions():
            for at in range(function.open_line - 1, min(function.close_line, len(lines))):
                lines[at] = ''
        continued = False
        for at, line in enumerate(lines):
            if continued or line.startswith('#'):
                continued = line.rstrip().endswith('\\')
                lines[at] = ''
        return '\n'.join(lines)


class Tree:
    """All files of a root that belong to the project: those that git knows or would take."""

    def __init__(self, root):
        self.root = root
        self.paths = sorted(self._list())
        self.path_set = set(self.paths)
        self.files = {}
        for path in self.paths:
            if path.startswith(DATA_FOLDERS) or not self._is_text(path):
                continue
            try:
                with open(os.path.join(root, path), encoding='utf-8') as opened:
                    self.files[path] = File(path, opened.read())
            except (UnicodeDecodeError, FileNotFoundError):
                continue

    def _list(self):
        if os.path.isdir(os.path.join(self.root, '.git')):
            git = subprocess.run(['git', '-C', self.root, 'ls-files', '-co', '--exclude-standard', '-z'],
                                 capture_output=True, check=True)
            names = set(filter(None, git.stdout.decode().split('\0')))
            return [name for name in names if os.path.isfile(os.path.join(self.root, name))]
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in SKIP_FOLDERS and not f.startswith('build')]
            found += [os.path.relpath(os.path.join(folder, name), self.root) for name in names]
        return found

    @staticmethod
    def _is_text(path):
        name = os.path.basename(path)
        return (path.endswith(TEXT_ENDS) or name in ('Makefile', 'ROOMS') or path.startswith('.ci/')
                or ('.' not in name and path.startswith(('tools/', 'bench/', 'tests/e2e/'))))

    def c_files(self, *folders):
        for file in self.files.values():
            if file.is_c and (not folders or file.path.startswith(folders)):
                yield file
