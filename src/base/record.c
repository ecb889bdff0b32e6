/* record: how one build of a program tells its values to another, and both stay sure of every number.
 *
 *      kind  length   tag value    tag length bytes      tag value
 *     ┌─────┬──────┬─────┬──────┬─────┬──┬──────────┐
 *     │ 104 │  19  │ 3<1 │ 77   │ 4<1 │ 12 │ "..."  │  ...          tag = number * 2 + (1: bytes follow)
 *     └─────┴──────┴─────┴──────┴─────┴──┴──────────┘
 *
 * The bytes are of the family of protobuf, and yet not protobuf: nothing is optional in the reading, for
 * both ends are ours and have told each other their tables before. So there is one way to write a value:
 * varints as short as they can be, fields in ascending order and each once, nothing that is zero. Whatever
 * else comes is broken and says where. It makes the reader small, and a record that was read and written
 * again has the same bytes: that is what the fuzz target holds it to.
 *
 * Skipping what one does not know was tried first, as protobuf does it: then the receiver would have to judge
 * whether the loss matters, of a thing that it does not know. The sender knows, so the sender judges
 * (`spare`), and can still go on serving when the answer is no.
 *
 * Signed numbers are zigzag (0, -1, 1, -2 ...). An address is its family, its port (2 bytes) and 4 or 16
 * bytes, or a path with the NUL behind it, so that the reader can borrow it as a string. Bytes and paths are
 * borrowed from what is read: it must outlive what is made of them.
 *
 * A schema is: count of kinds, then for each its number, its count of fields, and for each of these number
 * and type; varints, ascending. Names are not sent: what the receiver lacks, the sender can name.
 *
 * Fields go to and from their struct by memcpy, at the offsets of a table that check_kind has seen. */
#include "base/record.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/cell.h"
#include "base/mem.h"
#include "base/vec.h"

enum {
    VARINT_BYTES = 10,   /* most that 64 bits take, 7 in each */
    ADDR_HEAD_BYTES = 3, /* family, port */
    FIRST_FDS = 64
};

static const char *const type_names[SP_RECORD_TYPES] = { "bool", "u8",  "u16",   "u32",     "u64",
                                                         "i32",  "i64", "bytes", "address", "cell" };
static const uint8_t type_bytes[SP_RECORD_TYPES] = {
    sizeof(bool),    sizeof(uint8_t), sizeof(uint16_t), sizeof(uint32_t), sizeof(uint64_t),
    sizeof(int32_t), sizeof(int64_t), sizeof(sp_str),   sizeof(sp_addr),  sizeof(sp_cell),
};
/* The largest number as it is on the wire; 0: not a number. */
static const uint64_t type_most[SP_RECORD_TYPES] = { 1,          UINT8_MAX,  UINT16_MAX, UINT32_MAX,
                                                     UINT64_MAX, UINT32_MAX, UINT64_MAX, 0,
                                                     0,          UINT64_MAX };

struct schema_field {
    uint16_t number;
    uint8_t type; /* may be one that this build does not know */
};

struct schema_kind {
    uint16_t number;
    uint32_t first, count; /* in `fields` */
};

struct sp_record_schema {
    struct sp_vec kinds;  /* of struct schema_kind, ascending */
    struct sp_vec fields; /* of struct schema_field, ascending in each kind */
    bool no_memory;       /* while it was read */
};

static bool is_bytes(uint8_t type)
{
    return type == SP_RECORD_BYTES || type == SP_RECORD_ADDR;
}

/* A table that breaks its own rules is wrong code: found by the first test that writes a schema. */
static void check_kind(const struct sp_record_kind *kind)
{
    uint16_t last = 0;
    SP_ASSERT(kind->number > 0 && kind->name && kind->field_count <= SP_RECORD_FIELDS_MAX);
    for (uint32_t i = 0; i < kind->field_count; i++) {
        const struct sp_record_field *field = &kind->fields[i];
        SP_ASSERT(field->number > last && field->type < SP_RECORD_TYPES && field->name);
        SP_ASSERT(field->offset <= kind->size && type_bytes[field->type] <= kind->size - field->offset);
        last = field->number;
    }
}

static void check_book(const struct sp_record_book *book)
{
    SP_ASSERT(book->count <= SP_RECORD_KINDS_MAX);
    for (uint32_t i = 0; i < book->count; i++) {
        check_kind(book->kinds[i]);
        SP_ASSERT(i == 0 || book->kinds[i - 1]->number < book->kinds[i]->number);
    }
}

/* --- varints -------------------------------------------------------------------------------------------- */

static size_t varint_bytes(uint64_t v)
{
    size_t bytes = 1;
    while (v >>= 7)
        bytes++;
    return bytes;
}

static char *put_varint(char *at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *at++ = (char)(v | 0x80);
    *at++ = (char)v;
    return at;
}

/* Reads at `*at`, which stays before `end`; NULL, or what is wrong. */
static const char *get_varint(const char *in, size_t *at, size_t end, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_BYTES; i++) {
        if (*at == end)
            return "ends early";
        uint8_t byte = (uint8_t)in[(*at)++];
        if (i == VARINT_BYTES - 1 && byte > 1)
            return "a number of more than 64 bits";
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        if (byte == 0 && i > 0)
            return "a number longer than it need be";
        *ret_value = v;
        return NULL;
    }
    return "a number of more than 64 bits";
}

static void add_varint(struct sp_buf *out, uint64_t v)
{
    char bytes[VARINT_BYTES];
    sp_buf_add(out, bytes, (size_t)(put_varint(bytes, v) - bytes));
}

/* --- the schema ----------------------------------------------------------------------------------------- */

void sp_record_schema_write(const struct sp_record_book *book, struct sp_buf *out)
{
    check_book(book);
    add_varint(out, book->count);
    for (uint32_t i = 0; i < book->count; i++) {
        const struct sp_record_kind *kind = book->kinds[i];
        add_varint(out, kind->number);
        add_varint(out, kind->field_count);
        for (uint32_t k = 0; k < kind->field_count; k++) {
            add_varint(out, kind->fields[k].number);
            add_varint(out, kind->fields[k].type);
        }
    }
}

/* A number from `*last + 1` to UINT16_MAX. */
static const char *get_next(sp_str in, size_t *at, uint16_t *last)
{
    uint64_t v;
    const char *wrong = get_varint(in.ptr, at, in.len, &v);
    if (wrong)
        return wrong;
    if (v <= *last || v > UINT16_MAX)
        return "numbers out of order";
    *last = (uint16_t)v;
    return NULL;
}

static const char *get_count(sp_str in, size_t *at, uint64_t most, uint32_t *ret_count)
{
    uint64_t v;
    const char *wrong = get_varint(in.ptr, at, in.len, &v);
    if (wrong)
        return wrong;
    if (v > most)
        return "a count beyond its limit";
    *ret_count = (uint32_t)v;
    return NULL;
}

static const char *out_of_memory(struct sp_record_schema *schema)
{
    schema->no_memory = true;
    return sp_err_str(SP_E_NOMEM);
}

static const char *get_schema_kind(sp_str in, size_t *at, struct sp_record_schema *schema, uint16_t *last)
{
    struct schema_kind *kind = sp_vec_push(&schema->kinds);
    if (!kind)
        return out_of_memory(schema);
    const char *wrong = get_next(in, at, last);
    if (!wrong)
        wrong = get_count(in, at, SP_RECORD_FIELDS_MAX, &kind->count);
    kind->number = *last;
    kind->first = (uint32_t)schema->fields.len;
    uint16_t last_field = 0;
    for (uint32_t i = 0; !wrong && i < kind->count; i++) {
        uint32_t type = 0;
        struct schema_field *field = sp_vec_push(&schema->fields);
        if (!field)
            return out_of_memory(schema);
        wrong = get_next(in, at, &last_field);
        if (!wrong)
            wrong = get_count(in, at, UINT8_MAX, &type);
        *field = (struct schema_field){ last_field, (uint8_t)type };
    }
    return wrong;
}

static const struct schema_kind *find_kind(const struct sp_record_schema *schema, uint16_t number)
{
    size_t low = 0, high = schema->kinds.len;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct schema_kind *kind = sp_vec_at(&schema->kinds, mid);
        if (kind->number == number)
            return kind;
        if (kind->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* The peer's field of that number at or after `*at`, which moves on: both tables ascend. */
static const struct schema_field *find_field(const struct sp_record_schema *schema,
                                             const struct schema_kind *kind, uint32_t *at, uint16_t number)
{
    for (; *at < kind->count; ++*at) {
        const struct schema_field *field = sp_vec_at(&schema->fields, kind->first + *at);
        if (field->number >= number)
            return field->number == number ? field : NULL;
    }
    return NULL;
}

/* Numbers that both know must mean the same. */
static sp_err compare(const struct sp_record_schema *schema, const struct sp_record_kind *kind, char *trouble)
{
    const struct schema_kind *theirs = find_kind(schema, kind->number);
    uint32_t at = 0;
    for (uint32_t i = 0; theirs && i < kind->field_count; i++) {
        const struct sp_record_field *field = &kind->fields[i];
        const struct schema_field *other = find_field(schema, theirs, &at, field->number);
        if (!other || other->type == field->type)
            continue;
        snprintf(trouble, SP_RECORD_TROUBLE, "schema: %s.%s (%u.%u) is %s here and %s there", kind->name,
                 field->name, kind->number, field->number, type_names[field->type],
                 other->type < SP_RECORD_TYPES ? type_names[other->type] : "of a type not known here");
        return SP_E_INVALID;
    }
    return SP_OK;
}

sp_err sp_record_schema_read(sp_str bytes, const struct sp_record_book *book,
                             struct sp_record_schema **ret_schema, char trouble[SP_RECORD_TROUBLE])
{
    check_book(book);
    sp_err err = SP_E_NOMEM;
    struct sp_record_schema *schema = sp_mem_zalloc(sizeof(*schema));
    if (!schema)
        goto fail;
    sp_vec_init(&schema->kinds, sizeof(struct schema_kind));
    sp_vec_init(&schema->fields, sizeof(struct schema_field));

    size_t at = 0;
    uint32_t count = 0;
    uint16_t last = 0;
    const char *wrong = get_count(bytes, &at, SP_RECORD_KINDS_MAX, &count);
    for (uint32_t i = 0; !wrong && i < count; i++)
        wrong = get_schema_kind(bytes, &at, schema, &last);
    if (!wrong && at < bytes.len)
        wrong = "bytes behind the end";
    if (schema->no_memory)
        goto fail;
    err = wrong ? SP_E_INVALID : SP_OK;
    if (wrong)
        snprintf(trouble, SP_RECORD_TROUBLE, "schema: %s, at byte %zu", wrong, at);
    for (uint32_t i = 0; !err && i < book->count; i++)
        err = compare(schema, book->kinds[i], trouble);
    if (err)
        goto fail;
    *ret_schema = schema;
    return SP_OK;

fail:
    if (err == SP_E_NOMEM)
        snprintf(trouble, SP_RECORD_TROUBLE, "schema: %s", sp_err_str(err));
    sp_record_schema_free(schema);
    return err;
}

bool sp_record_schema_knows(const struct sp_record_schema *schema, uint16_t kind)
{
    return find_kind(schema, kind) != NULL;
}

void sp_record_schema_free(struct sp_record_schema *schema)
{
    if (!schema)
        return;
    sp_vec_deinit(&schema->kinds);
    sp_vec_deinit(&schema->fields);
    sp_mem_free(schema);
}

/* --- writing -------------------------------------------------------------------------------------------- */

void sp_record_writer_init(struct sp_record_writer *writer, const struct sp_record_schema *schema)
{
    *writer = (struct sp_record_writer){ .schema = schema };
    sp_buf_init(&writer->out, 0);
}

void sp_record_writer_deinit(struct sp_record_writer *writer)
{
    sp_buf_deinit(&writer->out);
    sp_mem_free(writer->fds);
    *writer = (struct sp_record_writer){ 0 };
}

static uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

/* A number as it is on the wire. */
static uint64_t number_at(uint8_t type, const char *at)
{
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
    } v;
    switch (type_bytes[type]) {
    case 1: memcpy(&v.u8, at, 1); return type == SP_RECORD_BOOL ? v.u8 != 0 : v.u8;
    case 2: memcpy(&v.u16, at, 2); return v.u16;
    case 4: memcpy(&v.u32, at, 4); return type == SP_RECORD_I32 ? zigzag((int32_t)v.u32) : v.u32;
    default: memcpy(&v.u64, at, 8); return type == SP_RECORD_I64 ? zigzag((int64_t)v.u64) : v.u64;
    }
}

/* What a field of bytes says: the bytes, and of an address what stands before them. */
static sp_str bytes_at(uint8_t type, const char *at, char head[ADDR_HEAD_BYTES], size_t *ret_head)
{
    sp_str bytes;
    sp_addr addr;
    *ret_head = 0;
    if (type == SP_RECORD_BYTES) {
        memcpy(&bytes, at, sizeof(bytes));
        return bytes;
    }
    memcpy(&addr, at, sizeof(addr));
    if (addr.family == SP_ADDR_NONE && addr.port == 0)
        return SP_STR_NULL;
    *ret_head = ADDR_HEAD_BYTES;
    head[0] = (char)addr.family;
    head[1] = (char)(addr.port >> 8);
    head[2] = (char)addr.port;
    if (addr.family == SP_ADDR_NONE)
        return SP_STR_NULL;
    if (addr.family == SP_ADDR_UNIX)
        return addr.path ? sp_str_of(addr.path, strlen(addr.path) + 1) : sp_str_of("", 1);
    /* of the record, which outlives the copy */
    return sp_str_of(at + offsetof(sp_addr, ip), addr.family == SP_ADDR_IP4 ? 4 : 16);
}

/* More than a record can take. */
static size_t most_bytes(const struct sp_record_kind *kind, const char *record)
{
    size_t most = (2 + 2 * (size_t)kind->field_count) * VARINT_BYTES;
    for (uint32_t i = 0; i < kind->field_count; i++) {
        const struct sp_record_field *field = &kind->fields[i];
        char head[ADDR_HEAD_BYTES];
        size_t head_len;
        if (is_bytes(field->type))
            most += sizeof(head) + bytes_at(field->type, record + field->offset, head, &head_len).len;
    }
    return most;
}

/* One field that is not zero; `at` as it was when the receiver does not know it. */
static char *put_field(struct sp_record_writer *writer, const struct sp_record_kind *kind,
                       const struct sp_record_field *field, bool known, const char *record, char *at)
{
    const char *from = record + field->offset;
    char head[ADDR_HEAD_BYTES];
    size_t head_len = 0;
    sp_str bytes = SP_STR_NULL;
    uint64_t number = 0;
    if (is_bytes(field->type))
        bytes = bytes_at(field->type, from, head, &head_len);
    else
        number = number_at(field->type, from);
    if (!number && !head_len && !bytes.len)
        return at;
    if (!known) {
        if (!field->spare)
            sp_record_refuse(writer, "%s.%s (%u.%u) is in use, and the other side does not know it",
                             kind->name, field->name, kind->number, field->number);
        return at;
    }
    at = put_varint(at, (uint64_t)field->number * 2 + is_bytes(field->type));
    if (!is_bytes(field->type))
        return put_varint(at, number);
    at = put_varint(at, head_len + bytes.len);
    memcpy(at, head, head_len);
    at += head_len;
    if (bytes.len)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

void sp_record_put(struct sp_record_writer *writer, const struct sp_record_kind *kind, const void *record)
{
    if (writer->err)
        return;
    const struct schema_kind *theirs = writer->schema ? find_kind(writer->schema, kind->number) : NULL;
    if (writer->schema && !theirs) {
        if (!kind->spare)
            sp_record_refuse(writer, "%s (%u) is in use, and the other side does not know it", kind->name,
                             kind->number);
        return;
    }
    char *start = sp_buf_room(&writer->out, most_bytes(kind, record));
    if (!start) {
        writer->err = SP_E_NOMEM;
        return;
    }
    uint32_t place = 0;
    char *body = put_varint(start, kind->number) + 1, *at = body; /* one byte for the length, mostly */
    for (uint32_t i = 0; i < kind->field_count && !writer->err; i++) {
        const struct sp_record_field *field = &kind->fields[i];
        bool known = !theirs || find_field(writer->schema, theirs, &place, field->number);
        at = put_field(writer, kind, field, known, record, at);
    }
    if (writer->err)
        return;
    size_t len = (size_t)(at - body), more = varint_bytes(len) - 1;
    if (more)
        memmove(body + more, body, len);
    put_varint(body - 1, len);
    writer->out.len += (size_t)(at + more - start);
    writer->records++;
}

uint32_t sp_record_add_fd(struct sp_record_writer *writer, int fd)
{
    if (fd < 0 || writer->err)
        return 0;
    if (writer->fd_count == writer->fd_cap) {
        uint32_t cap = writer->fd_cap ? writer->fd_cap * 2 : FIRST_FDS;
        int *fds = sp_mem_realloc(writer->fds, cap * sizeof(*fds));
        if (!fds) {
            writer->err = SP_E_NOMEM;
            return 0;
        }
        writer->fds = fds;
        writer->fd_cap = cap;
    }
    writer->fds[writer->fd_count++] = fd;
    return writer->fd_count;
}

void sp_record_refuse(struct sp_record_writer *writer, const char *fmt, ...)
{
    if (writer->err)
        return;
    writer->err = SP_E_UNSUPPORTED;
    va_list args;
    va_start(args, fmt);
    vsnprintf(writer->trouble, sizeof(writer->trouble), fmt, args);
    va_end(args);
}

/* --- reading -------------------------------------------------------------------------------------------- */

void sp_record_reader_init(struct sp_record_reader *reader, sp_str in, int *fds, uint32_t fd_count)
{
    *reader = (struct sp_record_reader){ .in = in, .fds = fds, .fd_count = fd_count };
}

sp_err sp_record_bad(struct sp_record_reader *reader, const struct sp_record_kind *kind, const char *fmt, ...)
{
    int len = snprintf(reader->trouble, sizeof(reader->trouble),
                       "record %llu%s%s%s: ", (unsigned long long)reader->records, kind ? " (" : "",
                       kind ? kind->name : "", kind ? ")" : "");
    size_t at = len < 0 ? 0 : SP_MIN((size_t)len, sizeof(reader->trouble) - 1);
    va_list args;
    va_start(args, fmt);
    vsnprintf(reader->trouble + at, sizeof(reader->trouble) - at, fmt, args); /* what is longer is cut */
    va_end(args);
    return SP_E_INVALID;
}

int sp_record_next(struct sp_record_reader *reader, uint16_t *ret_kind)
{
    size_t at = reader->at, end = reader->in.len;
    if (at == end)
        return 0;
    reader->records++;
    reader->body_at = reader->body_end = at;
    uint64_t kind, len;
    const char *wrong = get_varint(reader->in.ptr, &at, end, &kind);
    if (!wrong && (kind == 0 || kind > UINT16_MAX))
        wrong = "a kind that cannot be";
    if (!wrong)
        wrong = get_varint(reader->in.ptr, &at, end, &len);
    if (!wrong && len > end - at)
        wrong = "ends early";
    if (wrong)
        return sp_record_bad(reader, NULL, "%s", wrong);
    reader->body_at = at;
    reader->body_end = reader->at = at + (size_t)len;
    *ret_kind = (uint16_t)kind;
    return 1;
}

static const char *store_addr(char *to, sp_str bytes)
{
    sp_addr addr;
    memset(&addr, 0, sizeof(addr));
    if (bytes.len < ADDR_HEAD_BYTES)
        return "an address that ends early";
    addr.family = (uint8_t)bytes.ptr[0];
    addr.port = (uint16_t)((uint8_t)bytes.ptr[1] << 8 | (uint8_t)bytes.ptr[2]);
    sp_str rest = sp_str_from(bytes, ADDR_HEAD_BYTES);
    switch (addr.family) {
    case SP_ADDR_NONE:
        if (rest.len != 0 || addr.port == 0)
            return "an address of no family";
        break;
    case SP_ADDR_IP4:
    case SP_ADDR_IP6:
        if (rest.len != (addr.family == SP_ADDR_IP4 ? 4 : 16))
            return "an address of a wrong length";
        memcpy(addr.ip, rest.ptr, rest.len);
        break;
    case SP_ADDR_UNIX:
        if (rest.len == 0 || sp_str_find(rest, 0) != rest.len - 1)
            return "a path without its end";
        addr.path = rest.ptr;
        break;
    default: return "an address of an unknown family";
    }
    memcpy(to, &addr, sizeof(addr));
    return NULL;
}

static const char *store_number(uint8_t type, char *to, uint64_t v)
{
    if (v == 0)
        return "a zero that need not be there";
    if (v > type_most[type])
        return "a number too large for its type";
    if (type == SP_RECORD_I32 || type == SP_RECORD_I64)
        v = (v >> 1) ^ (v & 1 ? UINT64_MAX : 0);
    union {
        bool yes;
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
    } as;
    switch (type_bytes[type]) {
    case 1: as.u8 = (uint8_t)v; break; /* true is 1 */
    case 2: as.u16 = (uint16_t)v; break;
    case 4: as.u32 = (uint32_t)v; break;
    default: as.u64 = v; break;
    }
    memcpy(to, &as, type_bytes[type]);
    return NULL;
}

/* The value at `*at`, into its place in the record. */
static const char *get_value(const struct sp_record_reader *reader, size_t *at,
                             const struct sp_record_field *field, char *to)
{
    uint64_t v;
    const char *wrong = get_varint(reader->in.ptr, at, reader->body_end, &v);
    if (wrong)
        return wrong;
    if (!is_bytes(field->type))
        return store_number(field->type, to, v);
    if (v > reader->body_end - *at)
        return "ends early";
    sp_str bytes = sp_str_of(reader->in.ptr + *at, (size_t)v);
    *at += (size_t)v;
    if (bytes.len == 0)
        return "empty bytes that need not be there";
    if (field->type == SP_RECORD_ADDR)
        return store_addr(to, bytes);
    memcpy(to, &bytes, sizeof(bytes));
    return NULL;
}

static sp_err get_fields(struct sp_record_reader *reader, const struct sp_record_kind *kind, char *record)
{
    size_t at = reader->body_at;
    uint64_t last = 0;
    for (uint32_t place = 0; at < reader->body_end;) {
        uint64_t tag, number;
        const char *wrong = get_varint(reader->in.ptr, &at, reader->body_end, &tag);
        if (wrong)
            return sp_record_bad(reader, kind, "%s", wrong);
        number = tag >> 1;
        if (number <= last)
            return sp_record_bad(reader, kind, "field %llu out of order", (unsigned long long)number);
        last = number;
        while (place < kind->field_count && kind->fields[place].number < number)
            place++;
        if (place == kind->field_count || kind->fields[place].number != number)
            return sp_record_bad(reader, kind, "field %llu is not known", (unsigned long long)number);
        const struct sp_record_field *field = &kind->fields[place];
        if ((tag & 1) != is_bytes(field->type))
            wrong = tag & 1 ? "bytes where a number belongs" : "a number where bytes belong";
        if (!wrong)
            wrong = get_value(reader, &at, field, record + field->offset);
        if (wrong)
            return sp_record_bad(reader, kind, "%s (%u): %s", field->name, field->number, wrong);
    }
    return SP_OK;
}

sp_err sp_record_get(struct sp_record_reader *reader, const struct sp_record_kind *kind, void *ret_record)
{
    memset(ret_record, 0, kind->size);
    sp_err err = get_fields(reader, kind, ret_record);
    if (err)
        memset(ret_record, 0, kind->size); /* nobody shall use half of it */
    return err;
}

sp_err sp_record_take_fd(struct sp_record_reader *reader, uint32_t place, int *ret_fd)
{
    int fd = -1;
    if (place > reader->fd_count)
        return sp_record_bad(reader, NULL, "descriptor %u of %u", place, reader->fd_count);
    if (place > 0) {
        fd = reader->fds[place - 1];
        if (fd < 0)
            return sp_record_bad(reader, NULL, "descriptor %u is taken", place);
        reader->fds[place - 1] = -1;
    }
    *ret_fd = fd;
    return SP_OK;
}
