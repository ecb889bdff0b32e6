/* pb: our protobuf against protobuf-c, which was written by others: what each writes the other reads as the
 * same, on values made by seed. Bytes that were bent are the fuzz target's business (fuzz/form_pb.c). */
#include "unit/form/oracle.pb-c.h"
#include "unit/form/random.h"

struct round {
    struct sp_arena arena;
    struct sp_buf ours, theirs, again;
};

static void round_begin(struct round *r)
{
    sp_arena_init(&r->arena, NULL, 0, 65536, 0);
    sp_buf_init(&r->ours, 0);
    sp_buf_init(&r->theirs, 0);
    sp_buf_init(&r->again, 0);
}

static void round_end(struct round *r)
{
    sp_buf_deinit(&r->again);
    sp_buf_deinit(&r->theirs);
    sp_buf_deinit(&r->ours);
    sp_arena_deinit(&r->arena);
}

/* The oracle's bytes for what it read from `bytes`; false when it refuses them. */
static bool oracle_again(sp_str bytes, struct sp_buf *out)
{
    Sampan__Test__V1__Kinds *k = sampan__test__v1__kinds__unpack(
        NULL, bytes.len, (const uint8_t *)(bytes.len ? bytes.ptr : ""));
    if (!k)
        return false;
    size_t len = sampan__test__v1__kinds__get_packed_size(k);
    char *room = sp_buf_room(out, len + 1);
    assert_non_null(room);
    assert_int_equal(sampan__test__v1__kinds__pack(k, (uint8_t *)room), len);
    out->len += len;
    sampan__test__v1__kinds__free_unpacked(k, NULL);
    return true;
}

static void agrees_on_a_value(uint64_t seed)
{
    struct round r;
    void *back;
    round_begin(&r);
    struct random_form random = { .arena = &r.arena };
    sp_rng_init(&random.rng, seed);
    void *msg = random_message(&random, KINDS);
    check_seed(seed, sp_form_pb_encode(msg, &r.ours) == 0);
    check_seed(seed, oracle_again(sp_buf_str(&r.ours), &r.theirs));
    /* Theirs need not be the same bytes (an empty sub-message of a oneof, for one), but the same value. */
    check_seed(seed, sp_form_pb_decode(&r.arena, KINDS, sp_buf_str(&r.theirs), &back) == 0);
    check_seed(seed, sp_form_pb_encode(back, &r.again) == 0);
    check_seed(seed, sp_str_eq(sp_buf_str(&r.ours), sp_buf_str(&r.again)));
    round_end(&r);
}

static void the_oracle_reads_what_we_write_and_we_what_it_writes(void **state)
{
    each_seed(3000, agrees_on_a_value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oracle_reads_what_we_write_and_we_what_it_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
