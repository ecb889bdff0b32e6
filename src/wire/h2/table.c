/* table: the two tables of header compression: the static one, which both ends know by heart, and the dynamic
 * one, which both ends build alike from what passes.
 *
 * A name's place in the static table comes from a perfect hash, as in wire/call.c: length, first, middle and
 * last letter, each times a constant, index one of 128 slots. The constants were found by trying; the
 * compiler refuses the table (override-init) when two names would fall into one slot.
 *
 * The dynamic table is a run of memory that fills from the front. RFC 7541 counts 32 bytes for each entry
 * beside its text, and an entry here needs 8, so when the end is met a quarter of a common table is free in
 * front, and pushing the rest together costs a few nanoseconds for each entry. A ring would have entries in
 * two pieces; a list of blocks needs a heap. An entry of more than the table empties it, as the RFC says.
 *
 * An entry's tag belongs to whoever reads the table: the decoder keeps there what it found out about the name
 * and value, so that bytes which are referred to again are not judged again; the encoder keeps the hash.
 *
 * It does not know which end it serves. */
#include "wire/h2/hpack_impl.h"

#define TEXT(name, value)                                                                                    \
    {                                                                                                        \
        { name, sizeof(name) - 1 },                                                                          \
        {                                                                                                    \
            value, sizeof(value) - 1                                                                         \
        }                                                                                                    \
    }

/* RFC 7541, appendix A. */
const struct sp_hpack_static sp_hpack_static[SP_HPACK_STATIC + 1] = {
    TEXT("", ""),
    TEXT(":authority", ""),
    TEXT(":method", "GET"),
    TEXT(":method", "POST"),
    TEXT(":path", "/"),
    TEXT(":path", "/index.html"),
    TEXT(":scheme", "http"),
    TEXT(":scheme", "https"),
    TEXT(":status", "200"),
    TEXT(":status", "204"),
    TEXT(":status", "206"),
    TEXT(":status", "304"),
    TEXT(":status", "400"),
    TEXT(":status", "404"),
    TEXT(":status", "500"),
    TEXT("accept-charset", ""),
    TEXT("accept-encoding", "gzip, deflate"),
    TEXT("accept-language", ""),
    TEXT("accept-ranges", ""),
    TEXT("accept", ""),
    TEXT("access-control-allow-origin", ""),
    TEXT("age", ""),
    TEXT("allow", ""),
    TEXT("authorization", ""),
    TEXT("cache-control", ""),
    TEXT("content-disposition", ""),
    TEXT("content-encoding", ""),
    TEXT("content-language", ""),
    TEXT("content-length", ""),
    TEXT("content-location", ""),
    TEXT("content-range", ""),
    TEXT("content-type", ""),
    TEXT("cookie", ""),
    TEXT("date", ""),
    TEXT("etag", ""),
    TEXT("expect", ""),
    TEXT("expires", ""),
    TEXT("from", ""),
    TEXT("host", ""),
    TEXT("if-match", ""),
    TEXT("if-modified-since", ""),
    TEXT("if-none-match", ""),
    TEXT("if-range", ""),
    TEXT("if-unmodified-since", ""),
    TEXT("last-modified", ""),
    TEXT("link", ""),
    TEXT("location", ""),
    TEXT("max-forwards", ""),
    TEXT("proxy-authenticate", ""),
    TEXT("proxy-authorization", ""),
    TEXT("range", ""),
    TEXT("referer", ""),
    TEXT("refresh", ""),
    TEXT("retry-after", ""),
    TEXT("server", ""),
    TEXT("set-cookie", ""),
    TEXT("strict-transport-security", ""),
    TEXT("transfer-encoding", ""),
    TEXT("user-agent", ""),
    TEXT("vary", ""),
    TEXT("via", ""),
    TEXT("www-authenticate", ""),
};

#define SLOT(len, first, middle, last) (((len)*27u + (first)*109u + (middle)*94u + (last)*118u) & 127)

/* By name: its first index. */
static const uint8_t static_names[128] = {
    [SLOT(10, ':', 'o', 'y')] = 1,  [SLOT(7, ':', 't', 'd')] = 2,   [SLOT(5, ':', 'a', 'h')] = 4,
    [SLOT(7, ':', 'h', 'e')] = 6,   [SLOT(7, ':', 'a', 's')] = 8,   [SLOT(14, 'a', 'c', 't')] = 15,
    [SLOT(15, 'a', 'e', 'g')] = 16, [SLOT(15, 'a', 'l', 'e')] = 17, [SLOT(13, 'a', '-', 's')] = 18,
    [SLOT(6, 'a', 'e', 't')] = 19,  [SLOT(27, 'a', 'l', 'n')] = 20, [SLOT(3, 'a', 'g', 'e')] = 21,
    [SLOT(5, 'a', 'l', 'w')] = 22,  [SLOT(13, 'a', 'i', 'n')] = 23, [SLOT(13, 'c', 'c', 'l')] = 24,
    [SLOT(19, 'c', 'i', 'n')] = 25, [SLOT(16, 'c', 'e', 'g')] = 26, [SLOT(16, 'c', 'l', 'e')] = 27,
    [SLOT(14, 'c', '-', 'h')] = 28, [SLOT(16, 'c', 'l', 'n')] = 29, [SLOT(13, 'c', 't', 'e')] = 30,
    [SLOT(12, 'c', 't', 'e')] = 31, [SLOT(6, 'c', 'k', 'e')] = 32,  [SLOT(4, 'd', 't', 'e')] = 33,
    [SLOT(4, 'e', 'a', 'g')] = 34,  [SLOT(6, 'e', 'e', 't')] = 35,  [SLOT(7, 'e', 'i', 's')] = 36,
    [SLOT(4, 'f', 'o', 'm')] = 37,  [SLOT(4, 'h', 's', 't')] = 38,  [SLOT(8, 'i', 'a', 'h')] = 39,
    [SLOT(17, 'i', 'i', 'e')] = 40, [SLOT(13, 'i', 'e', 'h')] = 41, [SLOT(8, 'i', 'a', 'e')] = 42,
    [SLOT(19, 'i', 'f', 'e')] = 43, [SLOT(13, 'l', 'o', 'd')] = 44, [SLOT(4, 'l', 'n', 'k')] = 45,
    [SLOT(8, 'l', 't', 'n')] = 46,  [SLOT(12, 'm', 'r', 's')] = 47, [SLOT(18, 'p', 'h', 'e')] = 48,
    [SLOT(19, 'p', 'h', 'n')] = 49, [SLOT(5, 'r', 'n', 'e')] = 50,  [SLOT(7, 'r', 'e', 'r')] = 51,
    [SLOT(7, 'r', 'r', 'h')] = 52,  [SLOT(11, 'r', '-', 'r')] = 53, [SLOT(6, 's', 'v', 'r')] = 54,
    [SLOT(10, 's', 'o', 'e')] = 55, [SLOT(25, 's', 'p', 'y')] = 56, [SLOT(17, 't', '-', 'g')] = 57,
    [SLOT(10, 'u', 'a', 't')] = 58, [SLOT(4, 'v', 'r', 'y')] = 59,  [SLOT(3, 'v', 'i', 'a')] = 60,
    [SLOT(16, 'w', 'e', 'e')] = 61,
};

uint32_t sp_hpack_static_name(sp_str name)
{
    if (name.len == 0)
        return 0;
    const char *p = name.ptr;
    uint32_t at = static_names[SLOT(name.len, (unsigned char)p[0], (unsigned char)p[name.len / 2],
                                    (unsigned char)p[name.len - 1])];
    return at && sp_str_eq(sp_hpack_static[at].name, name) ? at : 0;
}

/* What stands before an entry's text. */
struct entry {
    uint16_t name_len, value_len;
    uint32_t tag;
};

static uint32_t slots(const struct sp_hpack_table *table)
{
    return table->bytes / SP_HPACK_ENTRY;
}

static char *offset_at(const struct sp_hpack_table *table, uint32_t number)
{
    return table->memory + table->bytes + 2 * (size_t)(number % slots(table));
}

static uint32_t get_offset(const struct sp_hpack_table *table, uint32_t number)
{
    uint16_t offset;
    memcpy(&offset, offset_at(table, number), sizeof offset);
    return offset;
}

void sp_hpack_table_init(struct sp_hpack_table *table, void *memory, uint32_t bytes, uint32_t limit)
{
    SP_ASSERT(bytes <= SP_HPACK_TABLE_MAX && limit <= (memory ? bytes : SP_HPACK_TABLE_MAX));
    *table = (struct sp_hpack_table){ .memory = memory, .bytes = bytes, .limit = limit, .most = bytes };
}

static void evict(struct sp_hpack_table *table, uint32_t most)
{
    while (table->size > most) {
        struct entry e;
        uint32_t at = get_offset(table, table->next - table->count);
        memcpy(&e, table->memory + at, sizeof e);
        table->size -= SP_HPACK_ENTRY + (uint32_t)e.name_len + e.value_len;
        table->low = at + (uint32_t)sizeof e + e.name_len + e.value_len;
        table->count--;
    }
    if (table->count == 0)
        table->low = table->high = 0;
}

void sp_hpack_table_limit(struct sp_hpack_table *table, uint32_t limit)
{
    evict(table, limit);
    table->limit = limit;
}

/* Push what is there to the front. */
static void push_together(struct sp_hpack_table *table)
{
    uint32_t gone = table->low;
    memmove(table->memory, table->memory + gone, table->high - gone);
    for (uint32_t n = table->next - table->count; n != table->next; n++) {
        uint16_t offset = (uint16_t)(get_offset(table, n) - gone);
        memcpy(offset_at(table, n), &offset, sizeof offset);
    }
    table->low = 0;
    table->high -= gone;
}

bool sp_hpack_table_insert(struct sp_hpack_table *table, sp_str name, sp_str value, uint32_t tag)
{
    uint64_t cost = SP_HPACK_ENTRY + (uint64_t)name.len + value.len;
    if (cost > table->limit) {
        evict(table, 0);
        return false;
    }
    evict(table, table->limit - (uint32_t)cost);

    struct entry e = { (uint16_t)name.len, (uint16_t)value.len, tag };
    uint32_t len = (uint32_t)(sizeof e + name.len + value.len);
    if (len > table->bytes - table->high)
        push_together(table);

    uint16_t offset = (uint16_t)table->high;
    char *at = table->memory + table->high;
    memcpy(at, &e, sizeof e);
    if (name.len)
        memcpy(at + sizeof e, name.ptr, name.len);
    if (value.len)
        memcpy(at + sizeof e + name.len, value.ptr, value.len);
    memcpy(offset_at(table, table->next), &offset, sizeof offset);
    table->high += len;
    table->size += (uint32_t)cost;
    table->next++;
    table->count++;
    return true;
}

bool sp_hpack_table_get(const struct sp_hpack_table *table, uint32_t at, struct sp_hpack_field *ret_field)
{
    if (at >= table->count)
        return false;
    uint32_t number = table->next - 1 - at;
    const char *p = table->memory + get_offset(table, number);
    struct entry e;
    memcpy(&e, p, sizeof e);
    *ret_field = (struct sp_hpack_field){
        .name = { p + sizeof e, e.name_len },
        .value = { p + sizeof e + e.name_len, e.value_len },
        .tag = e.tag,
        .entry = number + 1,
    };
    return true;
}

void sp_hpack_set_tag(struct sp_hpack_table *table, uint32_t entry, uint32_t tag)
{
    uint32_t number = entry - 1;
    if (!entry || table->next - 1 - number >= table->count)
        return; /* it has left meanwhile */
    memcpy(table->memory + get_offset(table, number) + offsetof(struct entry, tag), &tag, sizeof tag);
}
