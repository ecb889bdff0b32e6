/* base_record: any bytes as what another process says of itself: records, or the schema of its tables.
 *
 * Held to: records that are read and written again have the same bytes, up to the one that is broken; what is
 * broken says so in words; a writer towards any schema writes only what our own tables can read. */
#include "base/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/record_kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sp_record_kind *const kinds[] = { &small_kind, &hint_kind, &all_kind };
static const struct sp_record_book book = { kinds, 3 };

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

static const struct sp_record_kind *kind_of(uint16_t number)
{
    for (uint32_t i = 0; i < book.count; i++)
        if (kinds[i]->number == number)
            return kinds[i];
    return NULL;
}

/* Returns whether all of it could be read. */
static bool read_records(sp_str in)
{
    struct sp_record_reader reader;
    struct sp_record_writer writer;
    union {
        struct all all;
        struct small small;
    } record;
    uint16_t number;
    int more;
    sp_err err = SP_OK;
    sp_record_reader_init(&reader, in, NULL, 0);
    sp_record_writer_init(&writer, NULL);
    while ((more = sp_record_next(&reader, &number)) > 0) {
        must(reader.body_at <= reader.body_end && reader.body_end <= in.len,
             "a record lies within the bytes");
        const struct sp_record_kind *kind = kind_of(number);
        err = kind ? sp_record_get(&reader, kind, &record) : sp_record_bad(&reader, NULL, "kind %u", number);
        if (err)
            break;
        sp_record_put(&writer, kind, &record);
        must(writer.err == SP_OK && writer.out.len == reader.at &&
                 memcmp(writer.out.ptr, in.ptr, reader.at) == 0,
             "written again, the same bytes");
    }
    if (more < 0)
        err = more;
    must(err == SP_OK || (err == SP_E_INVALID && reader.trouble[0]), "what is broken says so in words");
    must(err != SP_OK || writer.out.len == in.len, "read to the end");
    sp_record_writer_deinit(&writer);
    return err == SP_OK;
}

static void read_schema(sp_str in)
{
    struct sp_record_schema *schema = NULL;
    struct sp_record_writer writer;
    char trouble[SP_RECORD_TROUBLE] = "";
    struct all all = full();
    struct small small = { .a = 300, .b = 1, .c = SP_STR("hi") };
    sp_err err = sp_record_schema_read(in, &book, &schema, trouble);
    must(err == SP_OK || (err == SP_E_INVALID && trouble[0] && !schema), "what is broken says so in words");
    if (err)
        return;
    sp_record_writer_init(&writer, schema);
    sp_record_put(&writer, &small_kind, &small);
    sp_record_put(&writer, &hint_kind, &small);
    sp_record_put(&writer, &all_kind, &all);
    must(writer.err == SP_OK || (writer.err == SP_E_UNSUPPORTED && writer.trouble[0]), "refused by name");
    must(read_records(sp_buf_str(&writer.out)), "what is written for any schema can be read here");
    sp_record_writer_deinit(&writer);
    sp_record_schema_free(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *exact = malloc(size > 1 ? size - 1 : 1); /* so that ASan sees a read behind the end */
    memcpy(exact, data + 1, size - 1);
    sp_str in = sp_str_of(exact, size - 1);
    if (data[0] & 1)
        read_schema(in);
    else
        (void)read_records(in); /* most bytes are broken */
    free(exact);
    return 0;
}
