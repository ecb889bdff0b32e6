"""Reads what protoc writes with --descriptor_set_out: the compiled schema, itself a protobuf message.

tools/pbgen and tools/support both stand on it. Python's own protobuf package is not needed: the format is
a handful of field numbers, named below as google/protobuf/descriptor.proto names them.
"""

SCALARS = {1: 'DOUBLE', 2: 'FLOAT', 3: 'INT64', 4: 'UINT64', 5: 'INT32', 6: 'FIXED64', 7: 'FIXED32', 8: 'BOOL',
           9: 'STRING', 11: 'MESSAGE', 12: 'BYTES', 13: 'UINT32', 14: 'ENUM', 15: 'SFIXED32', 16: 'SFIXED64',
           17: 'SINT32', 18: 'SINT64'}

# Numbers of sampan/options.proto.
WORKS, HINT, RULE = 50000, 50001, 50002
SHORT, KNOWN = 50000, 50001
NEEDED = 50000
REFUSED = 50000


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """(number, value) for each field of a message; a value is an int or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        elif wire == 1:
            value, at = int.from_bytes(data[at:at + 8], 'little'), at + 8
        elif wire == 5:
            value, at = int.from_bytes(data[at:at + 4], 'little'), at + 4
        else:
            raise ValueError('wire type %d' % wire)
        yield key >> 3, value


def one(data, number, default=None):
    found = default
    for n, value in fields(data):
        if n == number:
            found = value
    return found


def every(data, number):
    return [value for n, value in fields(data) if n == number]


def text(data, number, default=''):
    value = one(data, number)
    return default if value is None else value.decode()


def signed(value):
    return value - (1 << 64) if value >= 1 << 63 else value


class EnumType:
    def __init__(self, data, scope):
        self.name = scope + '.' + text(data, 1)
        self.values = []  # (name, number, why it is refused or None)
        for value in every(data, 2):
            refused = one(one(value, 3, b''), REFUSED)
            number = signed(one(value, 2, 0))
            self.values.append((text(value, 1), number, refused.decode() if refused is not None else None))


class Rule:
    LENGTHS = {2: 'min_len', 3: 'max_len', 4: 'min_items', 5: 'max_items'}

    def __init__(self, data):
        self.required = bool(one(data, 1, 0))
        self.lengths = {name: one(data, number, 0) for number, name in self.LENGTHS.items()}
        low, high = one(data, 6), one(data, 7)
        self.min = None if low is None else signed(low)
        self.max = None if high is None else signed(high)
        self.header_name = bool(one(data, 8, 0))
        self.header_value = bool(one(data, 9, 0))


class Field:
    def __init__(self, data, owner):
        self.owner = owner
        self.name = text(data, 1)
        self.number = one(data, 3)
        self.repeated = one(data, 4) == 3
        self.kind = SCALARS[one(data, 5)]
        self.type_name = text(data, 6).lstrip('.')
        self.json_name = text(data, 10)
        self.optional = bool(one(data, 17, 0))
        self.oneof = None if self.optional else one(data, 9)
        options = one(data, 8, b'')
        self.deprecated = bool(one(options, 3, 0))
        packed = one(options, 2)
        scalar = self.kind not in ('STRING', 'BYTES', 'MESSAGE')
        self.packed = self.repeated and scalar and packed != 0
        works, hint, rule = one(options, WORKS), one(options, HINT), one(options, RULE)
        self.works = works.decode() if works is not None else None
        self.hint = hint.decode() if hint is not None else None
        self.rule = Rule(rule) if rule is not None else None
        self.message = self.enum = None


class Message:
    def __init__(self, data, scope, file):
        self.file = file
        self.name = scope + '.' + text(data, 1)
        self.is_entry = bool(one(one(data, 7, b''), 7, 0))
        self.fields = sorted((Field(f, self) for f in every(data, 2)), key=lambda f: f.number)
        # protoc makes a oneof of one member for each `optional` field: those have no case of their own.
        real = {f.oneof for f in self.fields if f.oneof is not None}
        self.oneofs = [(text(o, 1), bool(one(one(o, 2, b''), NEEDED, 0)))
                       for i, o in enumerate(every(data, 8)) if i in real]
        self.enums = [EnumType(e, self.name) for e in every(data, 4)]
        self.nested = [Message(m, self.name, file) for m in every(data, 3)]

    def walk(self):
        yield self
        for inner in self.nested:
            yield from inner.walk()


class File:
    def __init__(self, data):
        self.path = text(data, 1)
        self.package = text(data, 2)
        options = one(data, 8, b'')
        self.short = text(options, SHORT)
        self.known = [value.decode() for value in every(options, KNOWN)]
        self.elsewhere = False  # pbgen: its C is made from another set
        self.messages = [Message(m, self.package, self) for m in every(data, 4)]
        self.enums = [EnumType(e, self.package) for e in every(data, 5)]


class Schema:
    """All files of a descriptor set that are not the schema of schemas itself."""

    def __init__(self, path):
        with open(path, 'rb') as source:
            data = source.read()
        self.files = [File(f) for f in every(data, 1)]
        self.files = [f for f in self.files if f.path not in ('google/protobuf/descriptor.proto',)]
        self.messages = {}
        self.enums = {}
        self.known = sorted(name for f in self.files for name in f.known)
        for f in self.files:
            for e in f.enums:
                self.enums[e.name] = e
                e.file = f
            for top in f.messages:
                for m in top.walk():
                    self.messages[m.name] = m
                    for e in m.enums:
                        self.enums[e.name] = e
                        e.file = f
        for m in self.messages.values():
            for field in m.fields:
                if field.kind == 'MESSAGE':
                    field.message = self.messages[field.type_name]
                elif field.kind == 'ENUM':
                    field.enum = self.enums[field.type_name]
                field.is_map = bool(field.message and field.message.is_entry)
