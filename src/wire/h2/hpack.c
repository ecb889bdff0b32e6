/* hpack: one header field at a call, from a block of RFC 7541 and into one.
 *
 *      1xxxxxxx                   a field of a table
 *      01xxxxxx name value        a literal that joins the dynamic table
 *      001xxxxx                   the dynamic table's size changes: at a block's beginning only
 *      0000xxxx name value        a literal
 *      0001xxxx name value        a literal that must stay one: a secret
 *
 * Decoding. A literal's text is a view into the block, text in Huffman code goes to scratch, and so does text
 * of the dynamic table, for an entry that comes later in the same block may push it out. Numbers are bounded
 * at 2^28: no length or index here can mean more. A string that does not fit into scratch is more than the
 * limit of a whole head, yet the table must stay what the peer believes it to be: text that is longer than
 * the table empties it, and what is shorter always has room, since scratch has more room than the table.
 *
 * Encoding. What is sent a second time joins the table: a fingerprint of 16 bits tells that it came before.
 * So ids and times, which never come again, push nothing out, and the one list of names that hold such
 * values (h2/encode.c) only saves the look. An entry is found by hash at one of two places of 64, which hold
 * the low bits of its number; the older of two makes room for a third. One place alone was not enough: two
 * headers of each request that met there put each other into the table again and again. The hash takes
 * lengths, first and last eight bytes, for it decides nothing: name and value are compared.
 *
 * It does not know which fields a message needs. */
#include "wire/h2/hpack_impl.h"

enum { INT_MAX_BITS = 28 };

/* A number of `bits` bits and more bytes. NULL: the block ends inside, or it is too large. */
static const char *get_int(const char *at, const char *end, unsigned bits, uint32_t *ret_value)
{
    uint32_t mask = (1u << bits) - 1;
    uint32_t value = (unsigned char)*at++ & mask;
    if (value == mask) {
        for (unsigned shift = 0;; shift += 7) {
            if (at == end || shift >= INT_MAX_BITS)
                return NULL;
            uint32_t byte = (unsigned char)*at++;
            value += (byte & 127) << shift;
            if (!(byte & 128))
                break;
        }
    }
    *ret_value = value;
    return at;
}

/* Room for `len` bytes of scratch; NULL: not there. */
static char *take(struct sp_hpack_scratch *scratch, size_t len)
{
    if ((size_t)(scratch->end - scratch->at) < len)
        return NULL;
    char *at = scratch->at;
    scratch->at += len;
    return at;
}

static bool keep(struct sp_hpack_scratch *scratch, sp_str *text)
{
    if (!text->len)
        return true;
    char *to = take(scratch, text->len);
    if (!to)
        return false;
    memcpy(to, text->ptr, text->len);
    text->ptr = to;
    return true;
}

/* A string literal. NULL: broken. *ret_large: it has no room. */
static const char *get_text(const char *at, const char *end, struct sp_hpack_scratch *scratch,
                            sp_str *ret_text, bool *ret_large)
{
    if (at == end)
        return NULL;
    bool coded = *at & 0x80;
    uint32_t len;
    at = get_int(at, end, 7, &len);
    if (!at || len > (size_t)(end - at))
        return NULL;
    sp_str text = sp_str_of(at, len);
    if (coded) {
        ssize_t n = sp_huffman_decode(text, scratch->at, (size_t)(scratch->end - scratch->at));
        if (n == SP_E_INVALID)
            return NULL;
        if (n < 0)
            *ret_large = true;
        text = sp_str_of(scratch->at, n < 0 ? 0 : (size_t)n);
        scratch->at += text.len;
    }
    *ret_text = text;
    return at + len;
}

/* The field of an index. False: there is none. */
static bool get_indexed(const struct sp_hpack_table *table, uint32_t index, struct sp_hpack_field *f)
{
    if (index == 0)
        return false;
    if (index > SP_HPACK_STATIC)
        return sp_hpack_table_get(table, index - SP_HPACK_STATIC - 1, f);
    *f = (struct sp_hpack_field){ .name = sp_hpack_static[index].name,
                                  .value = sp_hpack_static[index].value,
                                  .fixed = (uint8_t)index };
    return true;
}

static const char *resize(struct sp_hpack_table *table, const char *at, const char *end)
{
    uint32_t limit;
    at = get_int(at, end, 5, &limit);
    if (!at || limit > table->most)
        return NULL;
    sp_hpack_table_limit(table, limit);
    return at;
}

/* A literal: name by index or as text, value as text. */
static int get_literal(struct sp_hpack_table *table, const char **at, const char *end,
                       struct sp_hpack_scratch *scratch, struct sp_hpack_field *f)
{
    unsigned char kind = (unsigned char)**at;
    bool joins = kind & 0x40, large = false;
    uint32_t index;
    const char *p = get_int(*at, end, joins ? 6 : 4, &index);
    *f = (struct sp_hpack_field){ 0 };
    if (!p || (index && !get_indexed(table, index, f)))
        return SP_E_INVALID;
    if (f->entry && !keep(scratch, &f->name))
        large = true;
    if (!index)
        p = get_text(p, end, scratch, &f->name, &large);
    f->value = SP_STR_NULL;
    f->entry = f->tag = 0; /* they spoke of the entry whose name this is */
    if (p)
        p = get_text(p, end, scratch, &f->value, &large);
    if (!p)
        return SP_E_INVALID;
    f->never = (kind & 0xf0) == 0x10;
    *at = p;
    if (joins && large)
        sp_hpack_table_insert(table, (sp_str){ NULL, SP_HPACK_TABLE_MAX }, SP_STR_NULL, 0); /* empties it */
    else if (joins && sp_hpack_table_insert(table, f->name, f->value, 0))
        f->entry = table->next;
    return large ? SP_E_LIMIT : 1;
}

int sp_hpack_next(struct sp_hpack_table *table, const char **at, const char *end, bool first,
                  struct sp_hpack_scratch *scratch, struct sp_hpack_field *ret_field)
{
    for (int updates = 0; *at < end && ((unsigned char)**at & 0xe0) == 0x20; updates++) {
        if (!first || updates == SP_HPACK_UPDATES)
            return SP_E_INVALID;
        *at = resize(table, *at, end);
        if (!*at)
            return SP_E_INVALID;
    }
    if (*at == end)
        return 0;
    if (!((unsigned char)**at & 0x80))
        return get_literal(table, at, end, scratch, ret_field);

    uint32_t index;
    const char *p = get_int(*at, end, 7, &index);
    if (!p || !get_indexed(table, index, ret_field))
        return SP_E_INVALID;
    *at = p;
    ret_field->fixed_value = ret_field->fixed;
    if (ret_field->entry && !(keep(scratch, &ret_field->name) && keep(scratch, &ret_field->value)))
        return SP_E_LIMIT;
    return 1;
}

char *sp_hpack_put_int(char *out, uint8_t flags, unsigned prefix_bits, uint32_t value)
{
    uint32_t mask = (1u << prefix_bits) - 1;
    if (value < mask) {
        *out++ = (char)(flags | value);
        return out;
    }
    *out++ = (char)(flags | mask);
    for (value -= mask; value >= 128; value >>= 7)
        *out++ = (char)(value | 128);
    *out++ = (char)value;
    return out;
}

static char *put_text(char *out, sp_str text)
{
    out = sp_hpack_put_int(out, 0, 7, (uint32_t)text.len);
    if (text.len)
        memcpy(out, text.ptr, text.len);
    return out + text.len;
}

void sp_hpack_encoder_init(struct sp_hpack_encoder *encoder)
{
    *encoder = (struct sp_hpack_encoder){ .most = SP_HPACK_TABLE_STANDARD, .resized = true };
}

/* What both ends think the limit is before anybody said a word. */
void sp_hpack_encoder_give(struct sp_hpack_encoder *encoder, void *memory, uint32_t bytes)
{
    SP_ASSERT(!encoder->table.memory && bytes <= SP_HPACK_TABLE_MAX);
    uint32_t limit = SP_MIN(bytes, encoder->most);
    sp_hpack_table_init(&encoder->table, memory, bytes, limit);
    char *behind = (char *)memory + sp_hpack_table_bytes(bytes);
    encoder->seen = (uint16_t *)(void *)(behind + (sp_hpack_table_bytes(bytes) & 1));
    encoder->slots = (uint8_t *)(behind + (sp_hpack_table_bytes(bytes) & 1) + SP_HPACK_SLOTS * 2);
    memset(encoder->seen, 0, SP_HPACK_SLOTS * 2);
    memset(encoder->slots, 0, SP_HPACK_SLOTS * 2);
    encoder->least = limit;
    encoder->resized = true;
}

void sp_hpack_encoder_most(struct sp_hpack_encoder *encoder, uint32_t most)
{
    encoder->most = most;
    if (!encoder->table.memory) {
        encoder->resized = true; /* the peer waits for a word, if it lowered its limit */
        return;
    }
    uint32_t limit = SP_MIN(most, encoder->table.bytes);
    if (limit == encoder->table.limit && !encoder->resized)
        return;
    encoder->least = SP_MIN(encoder->resized ? encoder->least : encoder->table.limit, limit);
    encoder->resized = true;
    sp_hpack_table_limit(&encoder->table, limit);
}

char *sp_hpack_begin(struct sp_hpack_encoder *encoder, char *out)
{
    if (!encoder->resized)
        return out;
    encoder->resized = false;
    if (encoder->least < encoder->table.limit)
        out = sp_hpack_put_int(out, 0x20, 5, encoder->least);
    return sp_hpack_put_int(out, 0x20, 5, encoder->table.limit);
}

static uint64_t load_ends(sp_str s)
{
    uint64_t first = 0, last = 0;
    if (s.len >= 8) {
        memcpy(&first, s.ptr, 8);
        memcpy(&last, s.ptr + s.len - 8, 8);
    } else if (s.len >= 4) {
        memcpy(&first, s.ptr, 4);
        memcpy(&last, s.ptr + s.len - 4, 4);
    } else if (s.len) {
        first = (unsigned char)s.ptr[0] | (uint64_t)(unsigned char)s.ptr[s.len / 2] << 8 |
                (uint64_t)(unsigned char)s.ptr[s.len - 1] << 16;
    }
    return (first ^ s.len) * 0x9e3779b97f4a7c15u + last;
}

static uint32_t hash_of(sp_str name, sp_str value)
{
    uint64_t h = load_ends(name) * 0xff51afd7ed558ccdu ^ load_ends(value);
    h *= 0xc4ceb9fe1a85ec53u;
    return (uint32_t)(h >> 32) | 1; /* 0 in `seen` is nothing */
}

/* The two places of a hash, and how old the entry is that a place speaks of. */
static uint8_t *places(const struct sp_hpack_encoder *encoder, uint32_t hash)
{
    return encoder->slots + 2 * (size_t)(hash >> 26 & (SP_HPACK_SLOTS - 1));
}

static uint8_t age(const struct sp_hpack_encoder *encoder, uint8_t number)
{
    return (uint8_t)(encoder->table.next - 1 - number);
}

static bool is_entry(const struct sp_hpack_encoder *encoder, uint32_t at, uint32_t hash, sp_str name,
                     sp_str value)
{
    struct sp_hpack_field f;
    return sp_hpack_table_get(&encoder->table, at, &f) && f.tag == hash && sp_str_eq(f.name, name) &&
           sp_str_eq(f.value, value);
}

static void remember(struct sp_hpack_encoder *encoder, uint32_t hash, uint32_t number)
{
    uint8_t *place = places(encoder, hash);
    place[age(encoder, place[0]) < age(encoder, place[1])] = (uint8_t)number; /* the older one makes room */
}

/* The whole table: for a third one that two have hidden. Nothing is twice in the table. */
static uint32_t search(struct sp_hpack_encoder *encoder, uint32_t hash, sp_str name, sp_str value)
{
    for (uint32_t at = 0; at < encoder->table.count; at++) {
        if (is_entry(encoder, at, hash, name, value)) {
            remember(encoder, hash, encoder->table.next - 1 - at);
            return SP_HPACK_STATIC + 1 + at;
        }
    }
    return 0;
}

/* Index of the entry, or 0. */
static uint32_t find(const struct sp_hpack_encoder *encoder, uint32_t hash, sp_str name, sp_str value)
{
    const uint8_t *place = places(encoder, hash);
    for (int way = 0; way < 2; way++) {
        uint32_t at = age(encoder, place[way]);
        if (is_entry(encoder, at, hash, name, value))
            return SP_HPACK_STATIC + 1 + at;
    }
    return 0;
}

static bool insert(struct sp_hpack_encoder *encoder, uint32_t hash, sp_str name, sp_str value)
{
    if (!sp_hpack_table_insert(&encoder->table, name, value, hash))
        return false;
    remember(encoder, hash, encoder->table.next - 1);
    return true;
}

bool sp_hpack_encoder_insert(struct sp_hpack_encoder *encoder, sp_str name, sp_str value)
{
    return insert(encoder, hash_of(name, value), name, value);
}

/* Did this come before? What stands there is replaced at one miss in four, by a small generator, or those
 * that meet there would hide each other for ever. */
static bool is_second(struct sp_hpack_encoder *encoder, uint32_t hash)
{
    uint16_t *seen = &encoder->seen[hash >> 20 & (SP_HPACK_SLOTS - 1)], print = (uint16_t)(hash >> 4 | 1);
    if (*seen == print)
        return true;
    encoder->luck = encoder->luck * 1103515245 + 12345;
    if (!*seen || encoder->luck >> 30 == 0)
        *seen = print;
    return false;
}

char *sp_hpack_put(struct sp_hpack_encoder *encoder, char *out, uint32_t fixed, sp_str name, sp_str value,
                   enum sp_hpack_way way)
{
    uint8_t flags = way == SP_HPACK_NEVER ? 0x10 : 0;
    unsigned bits = 4;
    if (way == SP_HPACK_KEEP && encoder->table.limit) {
        uint32_t hash = hash_of(name, value);
        uint32_t index = find(encoder, hash, name, value);
        if (index)
            return sp_hpack_put_index(out, index);
        bool again = is_second(encoder, hash);
        index = again ? search(encoder, hash, name, value) : 0;
        if (index)
            return sp_hpack_put_index(out, index);
        if (again && insert(encoder, hash, name, value)) {
            flags = 0x40;
            bits = 6;
        }
    }
    out = sp_hpack_put_int(out, flags, bits, fixed);
    if (!fixed)
        out = put_text(out, name);
    return put_text(out, value);
}
