/* record_kinds: kinds with a field of every type, for the tests of records and for their fuzz target. */
#ifndef SP_TESTS_BASE_RECORD_KINDS_H
#define SP_TESTS_BASE_RECORD_KINDS_H

#include "base/cell.h"
#include "base/record.h"

struct all {
    bool yes;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    int32_t i32;
    int64_t i64;
    sp_str bytes;
    sp_addr addr;
    sp_cell cell;
};

static const struct sp_record_field all_fields[] = {
    SP_RECORD_FIELD(1, BOOL, all, yes),     SP_RECORD_FIELD(2, U8, all, u8),
    SP_RECORD_FIELD(3, U16, all, u16),      SP_RECORD_FIELD(5, U32, all, u32),
    SP_RECORD_FIELD(70, U64, all, u64),     SP_RECORD_FIELD(71, I32, all, i32),
    SP_RECORD_FIELD(72, I64, all, i64),     SP_RECORD_FIELD(9000, BYTES, all, bytes),
    SP_RECORD_FIELD(9001, ADDR, all, addr), SP_RECORD_SPARE(65535, CELL, all, cell),
};
static const struct sp_record_kind all_kind = SP_RECORD_KIND(300, false, "all", all, all_fields);

struct small {
    uint64_t a, b;
    sp_str c;
};
static const struct sp_record_field small_fields[] = {
    SP_RECORD_FIELD(1, U64, small, a),
    SP_RECORD_SPARE(2, U64, small, b),
    SP_RECORD_FIELD(3, BYTES, small, c),
};
static const struct sp_record_kind small_kind = { 7, false, "small", sizeof(struct small), small_fields, 3 };
static const struct sp_record_kind hint_kind = { 9, true, "hint", sizeof(struct small), small_fields, 3 };

static const struct sp_record_kind *const both_kinds[] = { &small_kind, &hint_kind, &all_kind };
static const struct sp_record_book both = { both_kinds, 3 };

static inline struct all full(void)
{
    return (struct all){ .yes = true,
                         .u8 = UINT8_MAX,
                         .u16 = UINT16_MAX,
                         .u32 = UINT32_MAX,
                         .u64 = UINT64_MAX,
                         .i32 = INT32_MIN,
                         .i64 = INT64_MIN,
                         .bytes = SP_STR("a\0b"),
                         .addr = { .ip = { 10, 0, 0, 1 }, .port = 8080, .family = SP_ADDR_IP4 },
                         .cell = { 5 } };
}

#endif
