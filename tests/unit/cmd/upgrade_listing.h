/* upgrade_listing: records and schemas as text that people read and that tests compare, and tables made again
 * from such text. What is wrong with a file fails the test. */
#ifndef SP_TESTS_CMD_UPGRADE_LISTING_H
#define SP_TESTS_CMD_UPGRADE_LISTING_H

#include "base/buf.h"
#include "base/record.h"

/* A line for each kind and each field, with its number, `must` or `spare`, and its name. */
void listing_schema(const struct sp_record_book *book, struct sp_buf *out);

/* The tables of a build that is not this one, as its listing says them. */
struct listing_book;
struct listing_book *listing_book_read(const char *text);
void listing_book_free(struct listing_book *listing);
const struct sp_record_book *listing_book(const struct listing_book *listing);

const struct sp_record_kind *listing_kind(const struct sp_record_book *book, uint16_t number);
const struct sp_record_field *listing_field(const struct sp_record_kind *kind, uint16_t number);
const char *listing_type(uint8_t type);

/* A line for each record (its kind) and each field that is not zero; read by the tables of `book`. */
void listing_records(const struct sp_record_book *book, sp_str records, struct sp_buf *out);

/* Each descriptor that records speak of, in their order. */
struct listing_fd {
    uint16_t kind, field;
    uint32_t place; /* from 1, in the set's descriptors */
};
uint32_t listing_fds(const struct sp_record_book *book, sp_str records, struct listing_fd *fds,
                     uint32_t most);

/* Heap, with a NUL behind it; *ret_len may be NULL. A file that is not there fails the test. */
char *listing_file(const char *path, size_t *ret_len);

#endif
