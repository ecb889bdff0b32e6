/* record: values by number, for what one build of a program tells another (hot upgrade).
 *
 * A kind of record is a C struct and a table of its fields. A field that is zero is not written, so a field
 * that a later build adds is zero when an earlier build sends. The sender knows the receiver's tables (its
 * schema, exchanged first) and writes only what the receiver can read:
 *
 *     the receiver does not know it      value zero    spare           else
 *     field                              left out      left out        refused by name
 *     kind                               -             left out        refused by name
 *
 * So `spare` is for what can be lost without anybody noticing but a person who counts: a figure, a hint.
 * Bytes: kind (varint), length (varint), then fields in ascending order, each number * 2 + (0 varint,
 * 1 bytes) as a varint, then the varint, or length and bytes. Integers only, no pointers, no alignment. */
#ifndef SP_BASE_RECORD_H
#define SP_BASE_RECORD_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum sp_record_type {
    SP_RECORD_BOOL,  /* bool */
    SP_RECORD_U8,    /* uint8_t */
    SP_RECORD_U16,   /* uint16_t */
    SP_RECORD_U32,   /* uint32_t */
    SP_RECORD_U64,   /* uint64_t, sp_ns */
    SP_RECORD_I32,   /* int32_t */
    SP_RECORD_I64,   /* int64_t */
    SP_RECORD_BYTES, /* sp_str: borrowed from what is read */
    SP_RECORD_ADDR,  /* sp_addr; a Unix path is borrowed from what is read, with a NUL behind it */
    SP_RECORD_CELL,  /* sp_cell */
    SP_RECORD_TYPES
};

/* A number is never used again for another meaning. */
struct sp_record_field {
    uint16_t number; /* from 1, ascending in the table */
    uint8_t type;    /* enum sp_record_type */
    bool spare;
    uint32_t offset; /* in the struct */
    const char *name;
};

struct sp_record_kind {
    uint16_t number;
    bool spare;
    const char *name;
    uint32_t size; /* of the struct */
    const struct sp_record_field *fields;
    uint32_t field_count;
};

#define SP_RECORD_FIELD(number, type, record, member)                                                        \
    {                                                                                                        \
        number, SP_RECORD_##type, false, offsetof(struct record, member), #member                            \
    }
#define SP_RECORD_SPARE(number, type, record, member)                                                        \
    {                                                                                                        \
        number, SP_RECORD_##type, true, offsetof(struct record, member), #member                             \
    }

#define SP_RECORD_KIND(number, spare, name, record, fields)                                                  \
    {                                                                                                        \
        number, spare, name, sizeof(struct record), fields, SP_COUNTOF(fields)                               \
    }

/* All kinds that one build knows, joined by cmd from the tables of the rooms. */
struct sp_record_book {
    const struct sp_record_kind *const *kinds; /* ascending by number */
    uint32_t count;
};

enum { SP_RECORD_TROUBLE = 200, SP_RECORD_KINDS_MAX = 256, SP_RECORD_FIELDS_MAX = 128 };

/* What a peer knows, as it said. */
struct sp_record_schema;
/* Append our book's schema. */
void sp_record_schema_write(const struct sp_record_book *book, struct sp_buf *out);
/* SP_E_INVALID with words in `trouble`: broken bytes, or a number that means another type over there.
 * SP_E_NOMEM. */
sp_err sp_record_schema_read(sp_str bytes, const struct sp_record_book *book,
                             struct sp_record_schema **ret_schema,
                             char trouble[SP_RECORD_TROUBLE]) SP_MUST_USE;
void sp_record_schema_free(struct sp_record_schema *schema); /* NULL is fine */
bool sp_record_schema_knows(const struct sp_record_schema *schema, uint16_t kind);

/* Writing. The first error stays: check once at the end. */
struct sp_record_writer {
    struct sp_buf out;
    const struct sp_record_schema *schema; /* of the receiver; NULL: the same build */
    int *fds;                              /* in the order of sp_record_add_fd; still their owners' */
    uint32_t fd_count, fd_cap;
    uint64_t records;
    sp_err err;                      /* SP_E_UNSUPPORTED: see trouble; SP_E_NOMEM */
    char trouble[SP_RECORD_TROUBLE]; /* which kind or field the receiver does not know */
};
void sp_record_writer_init(struct sp_record_writer *writer, const struct sp_record_schema *schema);
void sp_record_writer_deinit(struct sp_record_writer *writer);
void sp_record_put(struct sp_record_writer *writer, const struct sp_record_kind *kind, const void *record);
/* The descriptor goes along; returns what a field (U32) says of it: its place, from 1. -1 is 0. */
uint32_t sp_record_add_fd(struct sp_record_writer *writer, int fd);
/* A refusal of the saver's own: something that cannot move, in words. */
void sp_record_refuse(struct sp_record_writer *writer, const char *fmt, ...) SP_PRINTF(2, 3);

/* Reading. */
struct sp_record_reader {
    sp_str in;
    size_t at;      /* of the next record */
    size_t body_at; /* of the current one's fields */
    size_t body_end;
    int *fds; /* -1: taken */
    uint32_t fd_count;
    uint64_t records;
    char trouble[SP_RECORD_TROUBLE];
};
void sp_record_reader_init(struct sp_record_reader *reader, sp_str in, int *fds, uint32_t fd_count);
/* 1 and the kind's number; 0 at the end; SP_E_INVALID with words. */
int sp_record_next(struct sp_record_reader *reader, uint16_t *ret_kind) SP_MUST_USE;
/* Fill the struct (zeroed first) from the current record. SP_E_INVALID with words: a number that the table
 * does not have, twice or out of order, a value too large for its type, bytes that end early. */
sp_err sp_record_get(struct sp_record_reader *reader, const struct sp_record_kind *kind,
                     void *ret_record) SP_MUST_USE;
/* The descriptor at a place from 1, now the caller's; 0 gives -1 and SP_OK. SP_E_INVALID: no such place, or
 * taken. */
sp_err sp_record_take_fd(struct sp_record_reader *reader, uint32_t place, int *ret_fd) SP_MUST_USE;
/* Words of a loader's own: what is wrong with the current record. Returns SP_E_INVALID. */
sp_err sp_record_bad(struct sp_record_reader *reader, const struct sp_record_kind *kind, const char *fmt, ...)
    SP_PRINTF(3, 4);

#endif
