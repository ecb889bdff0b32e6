/* upgrade_listing: what the wire says by numbers, said by names.
 *
 *      kind 112 must stream              schema.txt: a kind, then its fields
 *        field 1 must u32 number
 *        field 82 must address client
 *
 *      stream                            *.txt: a record, then what is in it
 *        number = 9
 *        service = "com.acme.Echo:1.0"
 *
 * Names are of the build that wrote; the wire does not carry them. So the listing of a former build's schema
 * is what tells a field that was renamed, or a number that was used again, from one that is the same. */
#include "unit/cmd/upgrade_listing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cell.h"

enum { CELL_BYTES = 64, NAME_BYTES = 64, TEXT_MOST = 96, RECORD_MOST = 16 * 1024 };

static const char *const type_names[SP_RECORD_TYPES] = { "bool", "u8",  "u16",   "u32",     "u64",
                                                         "i32",  "i64", "bytes", "address", "cell" };

struct listing_book {
    struct sp_record_book book;
    const struct sp_record_kind *order[SP_RECORD_KINDS_MAX];
    struct sp_record_kind kinds[SP_RECORD_KINDS_MAX];
    struct sp_record_field fields[SP_RECORD_KINDS_MAX][SP_RECORD_FIELDS_MAX];
    char kind_names[SP_RECORD_KINDS_MAX][NAME_BYTES];
    char field_names[SP_RECORD_KINDS_MAX][SP_RECORD_FIELDS_MAX][NAME_BYTES];
};

const char *listing_type(uint8_t type)
{
    return type < SP_RECORD_TYPES ? type_names[type] : "unknown";
}

void listing_schema(const struct sp_record_book *book, struct sp_buf *out)
{
    for (uint32_t i = 0; i < book->count; i++) {
        const struct sp_record_kind *kind = book->kinds[i];
        sp_buf_printf(out, "kind %u %s %s\n", kind->number, kind->spare ? "spare" : "must", kind->name);
        for (uint32_t k = 0; k < kind->field_count; k++) {
            const struct sp_record_field *field = &kind->fields[k];
            sp_buf_printf(out, "  field %u %s %s %s\n", field->number, field->spare ? "spare" : "must",
                          type_names[field->type], field->name);
        }
    }
}

/* ---- tables from text ---- */

static bool is_spare(const char *word, const char *line)
{
    if (strcmp(word, "spare") != 0 && strcmp(word, "must") != 0)
        fail_msg("neither must nor spare: %s", line);
    return word[0] == 's';
}

static uint8_t type_of(const char *word, const char *line)
{
    for (uint8_t i = 0; i < SP_RECORD_TYPES; i++)
        if (strcmp(type_names[i], word) == 0)
            return i;
    fail_msg("no type is called so: %s", line);
    return 0;
}

static void read_line(struct listing_book *l, const char *line)
{
    unsigned number;
    char must[8], type[16], name[NAME_BYTES];
    if (sscanf(line, "kind %u %7s %63[^\n]", &number, must, name) == 3) {
        uint32_t at = l->book.count++;
        assert_true(at < SP_RECORD_KINDS_MAX);
        memcpy(l->kind_names[at], name, sizeof(name));
        l->kinds[at] = (struct sp_record_kind){ .number = (uint16_t)number,
                                                .spare = is_spare(must, line),
                                                .name = l->kind_names[at],
                                                .fields = l->fields[at] };
        l->order[at] = &l->kinds[at];
        return;
    }
    if (sscanf(line, " field %u %7s %15s %63s", &number, must, type, name) != 4 || !l->book.count)
        fail_msg("no line of a schema: %s", line);
    uint32_t of = l->book.count - 1, at = l->kinds[of].field_count++;
    assert_true(at < SP_RECORD_FIELDS_MAX);
    memcpy(l->field_names[of][at], name, sizeof(name));
    l->fields[of][at] = (struct sp_record_field){ .number = (uint16_t)number,
                                                  .type = type_of(type, line),
                                                  .spare = is_spare(must, line),
                                                  .offset = at * CELL_BYTES,
                                                  .name = l->field_names[of][at] };
    l->kinds[of].size = l->kinds[of].field_count * CELL_BYTES;
}

struct listing_book *listing_book_read(const char *text)
{
    struct listing_book *l = calloc(1, sizeof(*l));
    assert_non_null(l);
    _Static_assert(sizeof(sp_addr) <= CELL_BYTES && SP_RECORD_FIELDS_MAX * CELL_BYTES <= RECORD_MOST,
                   "each field has its cell");
    l->book.kinds = l->order;
    while (*text) {
        char line[256];
        size_t len = strcspn(text, "\n");
        snprintf(line, sizeof(line), "%.*s", (int)len, text);
        if (line[0] && line[0] != '#')
            read_line(l, line);
        text += len + (text[len] == '\n');
    }
    return l;
}

void listing_book_free(struct listing_book *listing)
{
    free(listing);
}

const struct sp_record_book *listing_book(const struct listing_book *listing)
{
    return &listing->book;
}

const struct sp_record_kind *listing_kind(const struct sp_record_book *book, uint16_t number)
{
    for (uint32_t i = 0; i < book->count; i++)
        if (book->kinds[i]->number == number)
            return book->kinds[i];
    return NULL;
}

const struct sp_record_field *listing_field(const struct sp_record_kind *kind, uint16_t number)
{
    for (uint32_t i = 0; i < kind->field_count; i++)
        if (kind->fields[i].number == number)
            return &kind->fields[i];
    return NULL;
}

/* ---- records ---- */

static void print_bytes(struct sp_buf *out, sp_str bytes)
{
    bool text = true;
    for (size_t i = 0; i < bytes.len; i++)
        text = text && ((bytes.ptr[i] >= ' ' && bytes.ptr[i] < 127) || strchr("\r\n", bytes.ptr[i]));
    sp_buf_printf(out, text ? "\"" : "%zu bytes ", bytes.len);
    for (size_t i = 0; i < bytes.len && i < TEXT_MOST; i++) {
        char c = bytes.ptr[i];
        if (!text)
            sp_buf_add_hex(out, (uint8_t)c, 2);
        else if (c == '\r' || c == '\n')
            sp_buf_add_c(out, c == '\r' ? "\\r" : "\\n");
        else
            sp_buf_add_char(out, c);
    }
    sp_buf_add_c(out, text ? "\"" : "");
    if (bytes.len > TEXT_MOST)
        sp_buf_printf(out, " ... %zu bytes, hash %016llx", bytes.len, (unsigned long long)sp_str_hash(bytes));
}

static void print_addr(struct sp_buf *out, const char *at)
{
    sp_addr addr;
    char text[SP_ADDR_TEXT_BYTES];
    memcpy(&addr, at, sizeof(addr));
    sp_buf_add(out, text, sp_addr_print(&addr, text, sizeof(text)));
}

/* What is zero is not there. */
static bool print_value(struct sp_buf *out, const struct sp_record_field *field, const char *at)
{
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        int32_t i32;
        int64_t i64;
        sp_str str;
        sp_addr addr;
    } v;
    memcpy(&v, at, sizeof(v));
    switch ((enum sp_record_type)field->type) {
    case SP_RECORD_BOOL:
    case SP_RECORD_U8: return v.u8 ? sp_buf_add_u64(out, v.u8), true : false;
    case SP_RECORD_U16: return v.u16 ? sp_buf_add_u64(out, v.u16), true : false;
    case SP_RECORD_U32: return v.u32 ? sp_buf_add_u64(out, v.u32), true : false;
    case SP_RECORD_CELL:
    case SP_RECORD_U64: return v.u64 ? sp_buf_add_u64(out, v.u64), true : false;
    case SP_RECORD_I32: return v.i32 ? sp_buf_add_i64(out, v.i32), true : false;
    case SP_RECORD_I64: return v.i64 ? sp_buf_add_i64(out, v.i64), true : false;
    case SP_RECORD_BYTES: return v.str.len ? print_bytes(out, v.str), true : false;
    case SP_RECORD_ADDR: return v.addr.family || v.addr.port ? print_addr(out, at), true : false;
    case SP_RECORD_TYPES: break;
    }
    return false;
}

/* The next record by `book`, whatever its kind; NULL at the end. */
static const struct sp_record_kind *next_record(const struct sp_record_book *book,
                                                struct sp_record_reader *reader, char *record)
{
    uint16_t number = 0;
    int found = sp_record_next(reader, &number);
    if (found < 0)
        fail_msg("%s", reader->trouble);
    if (!found)
        return NULL;
    const struct sp_record_kind *kind = listing_kind(book, number);
    if (!kind)
        fail_msg("record %llu is of kind %u, which this build does not know: a kind is kept for one version "
                 "after the last that writes it (docs/upgrade.md)",
                 (unsigned long long)reader->records, number);
    assert_true(kind->size + sizeof(sp_addr) <= RECORD_MOST);
    if (sp_record_get(reader, kind, record))
        fail_msg("%s: what the former build writes is no longer read: numbers and types of fields stay as "
                 "they are (docs/upgrade.md)",
                 reader->trouble);
    return kind;
}

void listing_records(const struct sp_record_book *book, sp_str records, struct sp_buf *out)
{
    char *record = calloc(1, RECORD_MOST);
    struct sp_record_reader reader;
    sp_record_reader_init(&reader, records, NULL, 0);
    const struct sp_record_kind *kind;
    while ((kind = next_record(book, &reader, record))) {
        sp_buf_printf(out, "%s\n", kind->name);
        for (uint32_t i = 0; i < kind->field_count; i++) {
            struct sp_buf value;
            sp_buf_init(&value, 0);
            if (print_value(&value, &kind->fields[i], record + kind->fields[i].offset))
                sp_buf_printf(out, "  %s = %.*s\n", kind->fields[i].name, SP_STR_ARG(sp_buf_str(&value)));
            sp_buf_deinit(&value);
        }
    }
    assert_false(out->failed);
    free(record);
}

uint32_t listing_fds(const struct sp_record_book *book, sp_str records, struct listing_fd *fds, uint32_t most)
{
    char *record = calloc(1, RECORD_MOST);
    uint32_t count = 0;
    struct sp_record_reader reader;
    sp_record_reader_init(&reader, records, NULL, 0);
    const struct sp_record_kind *kind;
    while ((kind = next_record(book, &reader, record)))
        for (uint32_t i = 0; i < kind->field_count; i++) {
            const struct sp_record_field *field = &kind->fields[i];
            uint32_t place = 0;
            bool is_fd = field->type == SP_RECORD_U32 && sp_str_ends(sp_str_c(field->name), SP_STR("fd"));
            if (is_fd)
                memcpy(&place, record + field->offset, sizeof(place));
            if (!place)
                continue;
            assert_true(count < most);
            fds[count++] = (struct listing_fd){ kind->number, field->number, place };
        }
    free(record);
    return count;
}

char *listing_file(const char *path, size_t *ret_len)
{
    enum { FILE_MOST = 1024 * 1024 };
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is missing: tests/upgrade/golden.py writes it", path);
    char *bytes = malloc(FILE_MOST);
    size_t len = fread(bytes, 1, FILE_MOST - 1, f);
    fclose(f);
    bytes[len] = '\0';
    if (ret_len)
        *ret_len = len;
    return bytes;
}
