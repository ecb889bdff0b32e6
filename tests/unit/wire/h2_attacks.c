/* h2_attacks: each known attack on HTTP/2 ends in a bounded number of frames, with a bounded sum of memory.
 * What the rows of one attack cost is counted, not timed. */
#include "h2_kit.h"

#include "base/rng.h"

/* The same frame, or group of frames, until the connection is over; how often, at most `most`. */
static int flood(struct end *e, const char *bytes, size_t len, int most)
{
    for (int i = 0; i < most; i++) {
        e->out_len = e->text_len = 0;
        if (!end_feed(e, bytes, len)) {
            check_goaway(e, SP_H2_ENHANCE_YOUR_CALM);
            return i;
        }
    }
    return most;
}

static size_t put_frame(char *out, unsigned type, unsigned flags, uint32_t id, const void *payload,
                        size_t len)
{
    sp_h2_put_frame(out, (uint32_t)len, (enum sp_h2_type)type, flags, id);
    if (len)
        memcpy(out + 9, payload, len);
    return 9 + len;
}

/* Open a stream, then `type` on it, over and over; how many streams were told to the consumer. */
static int rapid(struct end *e, unsigned type, unsigned flags, const void *payload, size_t len, int most)
{
    int told = 0;
    for (int i = 0; i < most; i++) {
        uint32_t id = 2 * (uint32_t)i + 1;
        e->out_len = e->text_len = 0;
        if (!end_post(e, id))
            return told;
        told++;
        if (!end_frame(e, type, flags, id, payload, len)) {
            check_goaway(e, SP_H2_ENHANCE_YOUR_CALM);
            return told;
        }
        assert_true(sp_h2_streams(e->h2) == 0);
    }
    return most;
}

static void rapid_reset_is_cut_off(void **unused)
{
    struct end *e = server_new(NULL);
    assert_in_range(rapid(e, SP_H2_RST_STREAM, 0, "\0\0\0\x8", 4, 1000000), 1, SP_H2_RESETS + 1);
    end_free(e);
}

/* The peer makes us do it: updates of nothing, updates too large, heads behind the end. */
static void resets_that_we_are_made_to_do_count_too(void **unused)
{
    struct end *e = server_new(NULL);
    assert_in_range(rapid(e, SP_H2_WINDOW_UPDATE, 0, "\0\0\0\0", 4, 1000000), 1, SP_H2_RESETS + 1);
    end_free(e);
    e = server_new(NULL);
    assert_in_range(rapid(e, SP_H2_WINDOW_UPDATE, 0, "\x7f\xff\xff\xff", 4, 1000000), 1, SP_H2_RESETS + 1);
    end_free(e);
    e = server_new(NULL);
    assert_in_range(rapid(e, SP_H2_HEADERS, 4, KIT_GET, 6, 1000000), 1, SP_H2_RESETS + 1);
    end_free(e);
}

static void heads_that_are_refused_count_too(void **unused)
{
    struct end *e = server_new(NULL);
    int i = 0;
    while (i < 100000 && end_frame(e, SP_H2_HEADERS, 5, 2 * (uint32_t)i + 1, "\x82\0\0\0", 4)) {
        e->out_len = e->text_len = 0;
        i++;
    }
    assert_in_range(i, 1, SP_H2_RESETS);
    check_goaway(e, SP_H2_ENHANCE_YOUR_CALM);
    end_free(e);
}

static void a_client_that_cancels_a_part_of_its_calls_is_not_cut(void **unused)
{
    struct end *e = server_new(NULL);
    struct sp_head tell = { .kind = SP_MSG_RESPONSE, .status = 200 };
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t id = 2 * i + 1;
        e->out_len = e->text_len = 0;
        assert_true(end_get(e, id));
        if (i % 2)
            assert_true(end_frame(e, SP_H2_RST_STREAM, 0, id, "\0\0\0\x8", 4));
        else
            assert_true(sp_h2_encode_answer(e->h2, id, &tell, true, e->out, 1024) > 0);
    }
    end_free(e);
}

static void time_gives_budgets_back(void **unused)
{
    struct end *e = server_new(NULL);
    for (uint32_t i = 0; i < 1000; i++) {
        e->out_len = e->text_len = 0;
        assert_true(end_post(e, 2 * i + 1));
        assert_true(end_frame(e, SP_H2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\x8", 4));
        sp_h2_calm(e->h2, 10);
        sp_h2_calm(e->h2, 20);
    }
    end_free(e);
}

static void floods_of_frames_that_carry_nothing(void **unused)
{
    static const struct {
        const char *why;
        unsigned type, flags;
        uint32_t id;
        const char *payload;
        size_t len;
    } floods[] = {
        { "ping", SP_H2_PING, 0, 0, "12345678", 8 },
        { "settings", SP_H2_SETTINGS_FRAME, 0, 0, "\0\3\0\0\0\5", 6 },
        { "empty settings", SP_H2_SETTINGS_FRAME, 0, 0, "", 0 },
        { "acknowledgements", SP_H2_SETTINGS_FRAME, 1, 0, "", 0 },
        { "priority", SP_H2_PRIORITY, 0, 3, "\0\0\0\1\1", 5 },
        { "empty data", SP_H2_DATA, 0, 1, "", 0 },
        { "padding", SP_H2_DATA, 8, 1, "\1\0", 2 },
        { "updates", SP_H2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4 },
        { "unknown", 0x42, 0, 0, "x", 1 },
        { "resets of a stream that is gone", SP_H2_RST_STREAM, 0, 1, "\0\0\0\x8", 4 },
    };
    for (size_t i = 0; i < SP_COUNTOF(floods); i++) {
        struct end *e = server_new(NULL);
        char frame[64];
        size_t len = put_frame(frame, floods[i].type, floods[i].flags, floods[i].id, floods[i].payload,
                               floods[i].len);
        assert_true(end_post(e, 1));
        int n = flood(e, frame, len, 100000);
        if (n > SP_H2_CONTROLS + 8)
            fail_msg("%s: %d frames", floods[i].why, n);
        end_free(e);
    }
}

static void settings_by_the_thousand_in_one_frame(void **unused)
{
    struct end *e = server_new(NULL);
    static char payload[16380];
    assert_false(end_frame(e, SP_H2_SETTINGS_FRAME, 0, 0, payload, sizeof payload));
    check_goaway(e, SP_H2_ENHANCE_YOUR_CALM);
    end_free(e);
}

static void endless_continuations_are_cut_off(void **unused)
{
    for (size_t len = 0; len <= 16384; len = len ? len * 4 : 1) {
        struct end *e = server_new(NULL);
        static char payload[16384];
        int n = 0;
        assert_true(end_frame(e, SP_H2_HEADERS, 1, 1, KIT_GET, 6));
        while (n < 1000 && end_frame(e, SP_H2_CONTINUATION, 0, 1, payload, len))
            n++;
        assert_in_range(n, 1, SP_H2_CONTINUATIONS);
        assert_true(e->in_len <= 128 * 1024);
        check_goaway(e, SP_H2_ENHANCE_YOUR_CALM);
        end_free(e);
    }
}

/* One entry of 4,000 bytes in the table; heads that refer to it by one byte each. */
static struct end *bomb_new(void)
{
    struct end *e = server_new(NULL);
    char block[4200] = KIT_GET "\x40\1x";
    char *at = sp_hpack_put_int(block + 9, 0, 7, 4000);
    memset(at, 'v', 4000);
    assert_true(end_frame(e, SP_H2_HEADERS, 4, 1, block, (size_t)(at + 4000 - block)));
    e->out_len = e->text_len = 0;
    return e;
}

static void a_bomb_of_references_is_too_large_a_head(void **unused)
{
    struct end *e = bomb_new();
    char block[16000] = KIT_GET;
    memset(block + 6, 0xbe, sizeof block - 6);
    assert_true(end_frame(e, SP_H2_HEADERS, 5, 3, block, sizeof block));
    check_text(e, "refused 3 NO_ERROR\n");
    assert_int_equal(sp_h2_get_frame(e->out).type, SP_H2_HEADERS); /* 431 */
    assert_memory_equal(e->out + 9,
                        "\x08\x03"
                        "431",
                        5);
    e->out_len = 0;
    assert_true(end_frame(e, SP_H2_HEADERS, 5, 5, KIT_GET "\xbe", 7)); /* the table is as it was */
    assert_int_equal(e->head.headers[0].value_len, 4000);
    end_free(e);
}

/* Heads below the limit of one, on as many streams as there may be, whose windows let no answer out. */
static void heads_of_many_streams_hold_a_bounded_sum(void **unused)
{
    struct end *e = bomb_new();
    uint64_t sent = 4100;
    char block[21] = KIT_GET;
    memset(block + 6, 0xbe, 15);
    for (uint32_t id = 3; id < 400; id += 2) {
        assert_true(end_frame(e, SP_H2_HEADERS, 4, id, block, sizeof block));
        sent += 9 + sizeof block;
        e->out_len = 0;
    }
    uint64_t told = 0;
    for (uint32_t i = 0; i < e->h2->stream_slots; i++)
        told += e->h2->streams[i].id != 0;
    assert_true((told - 1) * 15 * 4000 <= 4 * sent + (256 << 10));
    assert_true(told > 2);
    end_free(e);
}

/* H5: a host beside :authority, crumbs of cookies, headers of the connection: paid for like the rest. */
static void what_is_dropped_later_is_charged_first(void **unused)
{
    static const char *const fields[] = { "\0\4host\1a", "\0\6cookie\1a", "\0\1x\0" };
    static const size_t lens[] = { 8, 10, 4 };
    for (size_t i = 0; i < SP_COUNTOF(fields); i++) {
        struct sp_h2_limits small = { .head_bytes = 2000 };
        struct end *e = server_new(&small);
        char block[2000] = KIT_GET;
        size_t len = 6;
        for (int n = 0; n < 60; n++, len += lens[i])
            memcpy(block + len, fields[i], lens[i]);
        assert_true(end_frame(e, SP_H2_HEADERS, 5, 1, block, len));
        e->text[e->text_len] = '\0';
        assert_null(strstr(e->text, "request"));
        end_free(e);
    }
}

static void ten_thousand_small_headers_are_refused_whole(void **unused)
{
    struct end *e = server_new(NULL);
    char block[16000] = KIT_GET;
    size_t len = 6;
    for (; len + 5 < sizeof block; len += 5)
        memcpy(block + len, "\0\1x\1y", 5);
    assert_true(end_frame(e, SP_H2_HEADERS, 5, 1, block, len));
    check_text(e, "refused 1 NO_ERROR\n");
    end_free(e);
}

/* H10: a body of single bytes makes us say little and hold nothing. */
static void a_body_of_single_bytes_costs_its_bytes(void **unused)
{
    struct end *e = server_new(NULL);
    assert_true(end_post(e, 1));
    e->out_len = 0;
    for (int i = 0; i < 200000; i++) {
        e->text_len = 0;
        assert_true(end_frame(e, SP_H2_DATA, 0, 1, "x", 1));
    }
    assert_int_equal(e->out_len, 13); /* one update in all: half of the stream's window came once */
    end_free(e);
}

static void more_streams_than_allowed_are_refused(void **unused)
{
    struct end *e = server_new(NULL);
    for (uint32_t i = 0; i < 100; i++)
        assert_true(end_post(e, 2 * i + 1));
    e->text_len = 0;
    assert_true(end_post(e, 201));
    check_text(e, "refused 201 REFUSED_STREAM\n");
    assert_int_equal(sp_h2_streams(e->h2), 100);
    end_free(e);
}

static void an_idle_connection_is_small(void **unused)
{
    struct end *e = server_new(NULL);
    assert_true(sp_h2_bytes() <= 512);
    assert_int_equal(e->h2->stream_slots, 0);
    assert_null(e->h2->decoder.memory);
    assert_true(end_post(e, 1));
    size_t open = sp_h2_bytes() + e->h2->stream_slots * sizeof(struct sp_h2_stream) +
                  sp_hpack_table_bytes(e->h2->decoder.bytes);
    assert_true(open <= 6 * 1024);
    end_free(e);
}

/* Frames in any order, with ids and lengths that are near to right, on an end whose state moves. */
static void any_order_of_frames_is_survived(void **unused)
{
    struct sp_rng rng;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct end *e = server_new(NULL);
        sp_rng_init(&rng, seed);
        for (int i = 0; i < 60; i++) {
            char payload[64] = KIT_POST;
            unsigned type = (unsigned)sp_rng_below(&rng, 11);
            size_t len = type == SP_H2_HEADERS ? 6 : type == SP_H2_PING ? 8 : type == SP_H2_PRIORITY ? 5 : 4;
            if (type > 1)
                for (size_t k = 0; k < len; k++)
                    payload[k] = (char)(sp_rng_below(&rng, 3) == 0 ? sp_rng_below(&rng, 4) : 0);
            uint32_t id = type == SP_H2_PING || type == SP_H2_SETTINGS_FRAME || type == SP_H2_GOAWAY_FRAME
                              ? 0
                              : (uint32_t)sp_rng_below(&rng, 12);
            if (type == SP_H2_SETTINGS_FRAME)
                len = 0;
            e->moves = sp_rng_below(&rng, 4) == 0;
            e->out_len = e->text_len = 0;
            if (!end_frame(e, type, (unsigned)sp_rng_below(&rng, 2) | (type == 1 ? 4u : 0), id, payload,
                           len)) {
                assert_int_equal(e->h2->phase, SP_H2_PHASE_BROKEN);
                break;
            }
            uint32_t open = 0;
            for (uint32_t k = 0; k < e->h2->stream_slots; k++)
                open += e->h2->streams[k].id && sp_h2_find(e->h2, e->h2->streams[k].id) == &e->h2->streams[k];
            if (open != sp_h2_streams(e->h2))
                fail_msg("seed %llu: %u streams are found of %u", (unsigned long long)seed, open,
                         sp_h2_streams(e->h2));
        }
        end_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rapid_reset_is_cut_off),
        cmocka_unit_test(resets_that_we_are_made_to_do_count_too),
        cmocka_unit_test(heads_that_are_refused_count_too),
        cmocka_unit_test(a_client_that_cancels_a_part_of_its_calls_is_not_cut),
        cmocka_unit_test(time_gives_budgets_back),
        cmocka_unit_test(floods_of_frames_that_carry_nothing),
        cmocka_unit_test(settings_by_the_thousand_in_one_frame),
        cmocka_unit_test(endless_continuations_are_cut_off),
        cmocka_unit_test(a_bomb_of_references_is_too_large_a_head),
        cmocka_unit_test(heads_of_many_streams_hold_a_bounded_sum),
        cmocka_unit_test(what_is_dropped_later_is_charged_first),
        cmocka_unit_test(ten_thousand_small_headers_are_refused_whole),
        cmocka_unit_test(a_body_of_single_bytes_costs_its_bytes),
        cmocka_unit_test(more_streams_than_allowed_are_refused),
        cmocka_unit_test(an_idle_connection_is_small),
        cmocka_unit_test(any_order_of_frames_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
