/* hpack: header compression (RFC 7541), for the files of this folder: two tables, one decoder that gives one
 * field at a call, one encoder that writes one field at a call. Memory is the caller's. */
#ifndef SP_WIRE_H2_HPACK_IMPL_H
#define SP_WIRE_H2_HPACK_IMPL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "base/str.h"

enum {
    SP_HPACK_STATIC = 61,
    SP_HPACK_ENTRY = 32,          /* what an entry costs beside its bytes (RFC 7541 4.1) */
    SP_HPACK_TABLE_MAX = 1 << 16, /* lengths and places of a table are 16 bits */
    SP_HPACK_TABLE_STANDARD = 4096,
    SP_HPACK_SLOTS = 64,  /* of the encoder's memory for what it has seen */
    SP_HPACK_UPDATES = 2, /* size updates that may begin one block (RFC 7541 4.2) */
};

/* A dynamic table: entries in the order in which they came, offsets of them at the end of the memory.
 *
 *      memory  | ...gone... | entry | entry | entry |   free   | offset offset offset ... |
 *                            ^low                    ^high       of entry number n at n % slots
 *
 * An entry is name length (2), value length (2), tag (4), name, value: 8 bytes where the RFC counts 32, so a
 * table of N bytes fits into N, and what lies behind `low` is pushed together when `high` meets the end. */
struct sp_hpack_table {
    char *memory;   /* NULL: none was given yet */
    uint32_t bytes; /* of memory without the offsets: most that `limit` may be */
    uint32_t limit; /* as the last size update said */
    uint32_t most;  /* that a size update may say */
    uint32_t size;  /* as the RFC counts */
    uint32_t low, high;
    uint32_t next; /* number of the entry that comes next; entries next - count .. next - 1 are there */
    uint32_t count;
};

struct sp_hpack_field {
    sp_str name, value;
    uint32_t tag;     /* who asks puts in what he found out about an entry; 0 = nothing yet */
    uint32_t entry;   /* 0: not in a dynamic table; else number of its entry + 1, for sp_hpack_set_tag */
    uint8_t fixed;    /* index of the name in the static table; 0 = not from there */
    bool fixed_value; /* the value is from there too */
    bool never;       /* must stay a literal at every hop */
};

/* Memory for a table of `limit` bytes. */
static inline size_t sp_hpack_table_bytes(uint32_t limit)
{
    return (size_t)limit + limit / SP_HPACK_ENTRY * 2;
}

/* Empty, without or with memory of sp_hpack_table_bytes(bytes). */
void sp_hpack_table_init(struct sp_hpack_table *table, void *memory, uint32_t bytes, uint32_t limit);
void sp_hpack_table_limit(struct sp_hpack_table *table, uint32_t limit); /* evicts; limit <= bytes */
/* Name and value may not lie in the table. One that is larger than the table empties it. True: it is in. */
bool sp_hpack_table_insert(struct sp_hpack_table *table, sp_str name, sp_str value, uint32_t tag);
/* `at` 0 is the newest. False: no such entry. */
bool sp_hpack_table_get(const struct sp_hpack_table *table, uint32_t at, struct sp_hpack_field *ret_field);
void sp_hpack_set_tag(struct sp_hpack_table *table, uint32_t entry, uint32_t tag);

struct sp_hpack_static {
    sp_str name, value;
};
extern const struct sp_hpack_static sp_hpack_static[SP_HPACK_STATIC + 1]; /* from 1 */
/* The first static index of that name; 0 = none. */
uint32_t sp_hpack_static_name(sp_str name);

/* Most bytes that a Huffman string of `len` bytes may hold. */
#define SP_HUFFMAN_MOST(len) ((size_t)(len)*8 / 5)
/* Bytes decoded; SP_E_LIMIT when there is no room, SP_E_INVALID when it is no Huffman string. */
ssize_t sp_huffman_decode(sp_str in, char *out, size_t room);

/* Where decoded strings go; the caller's. */
struct sp_hpack_scratch {
    char *at, *end;
};

/* One field from *at on. 1: a field. 0: the block is at its end. SP_E_INVALID: the block is broken, and the
 * table with it. SP_E_LIMIT: a string has no room in scratch; the table is as it should be, and *at behind
 * the field, but the field is not told. Fields lie in the block, in scratch, or in static memory. */
int sp_hpack_next(struct sp_hpack_table *table, const char **at, const char *end, bool first,
                  struct sp_hpack_scratch *scratch, struct sp_hpack_field *ret_field);

/* The encoder: its table, and what it has seen. */
struct sp_hpack_encoder {
    struct sp_hpack_table table;
    uint8_t *slots; /* SP_HPACK_SLOTS of two: low bits of the entry's number, by hash */
    uint16_t *seen; /* SP_HPACK_SLOTS: fingerprints of what came once */
    uint32_t most;  /* what the peer's settings allow */
    uint32_t least; /* of what they allowed since the last block; a lower one is said first */
    uint32_t luck;  /* which miss replaces what was seen */
    bool resized;   /* the next block begins with a size update */
};
static inline size_t sp_hpack_encoder_bytes(uint32_t limit)
{
    return sp_hpack_table_bytes(limit) + 1 + SP_HPACK_SLOTS * 4;
}
void sp_hpack_encoder_init(struct sp_hpack_encoder *encoder);
void sp_hpack_encoder_give(struct sp_hpack_encoder *encoder, void *memory, uint32_t bytes);
void sp_hpack_encoder_most(struct sp_hpack_encoder *encoder, uint32_t most); /* the peer's setting */

/* An entry that the peer knows already. */
bool sp_hpack_encoder_insert(struct sp_hpack_encoder *encoder, sp_str name, sp_str value);

enum { SP_HPACK_FIELD_ROOM = 1 + 4 + 4, SP_HPACK_BEGIN_ROOM = 10 };
/* What begins a block: size updates. At most SP_HPACK_BEGIN_ROOM. */
char *sp_hpack_begin(struct sp_hpack_encoder *encoder, char *out);

enum sp_hpack_way {
    SP_HPACK_KEEP,  /* into the table when it is seen a second time */
    SP_HPACK_PLAIN, /* a value that will hardly come again */
    SP_HPACK_NEVER, /* a secret: literal at every hop */
};
/* At most SP_HPACK_FIELD_ROOM + name + value bytes. `fixed`: static index of the name, 0 = none. */
char *sp_hpack_put(struct sp_hpack_encoder *encoder, char *out, uint32_t fixed, sp_str name, sp_str value,
                   enum sp_hpack_way way);
char *sp_hpack_put_int(char *out, uint8_t flags, unsigned prefix_bits, uint32_t value);
static inline char *sp_hpack_put_index(char *out, uint32_t index)
{
    return sp_hpack_put_int(out, 0x80, 7, index);
}

#endif
