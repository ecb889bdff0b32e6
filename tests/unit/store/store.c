/* store: limits and their names, memory that runs out, and the order of asks. What answers say over random
 * histories is store_model's. */
#include "store/store.h"

#include "unit/store/help.h"

static char *fill(size_t bytes)
{
    char *text = malloc(bytes + 1);
    memset(text, 'k', bytes);
    text[bytes] = 0;
    return text;
}

static enum sp_store_why put_sized(struct rig *rig, size_t key_bytes, size_t value_bytes)
{
    char *key = fill(key_bytes), *value = fill(value_bytes);
    enum sp_store_why why = put(rig, key, value, 0).why;
    free(key);
    free(value);
    return why;
}

static void a_key_and_a_value_at_the_limit_pass_and_one_byte_more_is_named(void **state)
{
    struct rig rig = { 0 };
    rig_open(&rig);
    assert_int_equal(put_sized(&rig, SP_STORE_KEY_MAX, SP_STORE_VALUE_MAX), SP_STORE_FINE);
    assert_int_equal(put_sized(&rig, SP_STORE_KEY_MAX + 1, 1), SP_STORE_BAD_KEY);
    assert_int_equal(put_sized(&rig, 0, 1), SP_STORE_BAD_KEY);
    assert_int_equal(put_sized(&rig, 1, SP_STORE_VALUE_MAX + 1), SP_STORE_BAD_VALUE);
    rig_close(&rig);
}

static struct reply many_puts(struct rig *rig, int count, const char *value)
{
    struct sp_store_ask *ask = ask_new(rig);
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        sp_store_ask_put(ask, sp_str_c(key), sp_str_c(value), 0, false);
    }
    return ask_wait(rig, ask);
}

static void a_transaction_has_a_limit_of_operations_and_of_bytes(void **state)
{
    struct rig rig = { 0 };
    char *value = fill(SP_STORE_VALUE_MAX);
    rig_open(&rig);
    assert_int_equal(many_puts(&rig, SP_STORE_OPS_MAX, "v").why, SP_STORE_FINE);
    assert_int_equal(many_puts(&rig, SP_STORE_OPS_MAX + 1, "v").why, SP_STORE_TOO_MANY);
    assert_int_equal(many_puts(&rig, 3, value).why, SP_STORE_FINE);
    assert_int_equal(many_puts(&rig, 4, value).why, SP_STORE_TOO_LARGE);
    assert_int_equal(get_all(&rig, 0).revision, 2);
    free(value);
    rig_close(&rig);
}

static void a_full_store_refuses_puts_and_takes_deletions(void **state)
{
    struct rig rig = { .config.limit_bytes = 64 << 10 };
    char *value = fill(10000);
    rig_open(&rig);
    int fine = 0;
    while (put(&rig, "a", value, 0).why == SP_STORE_FINE)
        fine++;
    assert_int_equal(fine, 6);
    struct reply reply = put(&rig, "a", value, 0);
    assert_int_equal(reply.why, SP_STORE_FULL);
    expect(&reply, "the store holds as many bytes as it may");
    assert_int_equal(del(&rig, "a").why, SP_STORE_FINE);
    assert_int_equal(compact_to(&rig, get(&rig, "a").revision).why, SP_STORE_FINE);
    for (int i = 0; i < 3; i++)
        sp_loop_turn(rig.loop, 0);
    assert_int_equal(put(&rig, "a", value, 0).why, SP_STORE_FINE);
    free(value);
    rig_close(&rig);
}

static void every_refusal_has_words_and_an_error(void **state)
{
    for (int why = 0; why < SP_STORE_WHYS; why++) {
        assert_non_null(sp_store_why_words((enum sp_store_why)why));
        assert_int_equal(sp_store_why_err((enum sp_store_why)why) == SP_OK, why == SP_STORE_FINE);
    }
}

/* Every allocation of a transaction fails once, on its way out and in the store. */
static void a_transaction_that_runs_out_of_memory_changes_nothing(void **state)
{
    struct rig rig = { 0 };
    rig_open(&rig);
    put(&rig, "a", "1", 0);
    put(&rig, "b", "1", 0);
    uint64_t n = 1, refused = 0;
    for (;; n++) {
        struct reply before = get_all(&rig, 0), reply = { 0 };
        sp_mem_fail_at(n);
        struct sp_store_ask *ask = sp_store_ask_new(rig.client);
        if (ask) {
            sp_store_ask_delete(ask, &(struct sp_store_span){ .from = SP_STR("a") }, true);
            sp_store_ask_put(ask, SP_STR("b"), SP_STR("2"), 0, true);
            sp_store_ask_put(ask, SP_STR("c"), SP_STR("3"), 0, false);
            sp_store_ask_range(ask, &(struct sp_store_span){ .kind = SP_STORE_PREFIX }, 0, 0, false);
            sp_store_ask_post(ask, on_reply, &reply);
            turn_until(rig.loop, &reply.done);
        }
        bool failed = sp_mem_fail_at(0) >= n;
        if (!failed) {
            assert_int_equal(reply.why, SP_STORE_FINE);
            break;
        }
        if (ask)
            assert_int_equal(reply.why, SP_STORE_NO_MEMORY);
        refused++;
        struct reply after = get_all(&rig, 0);
        assert_string_equal(after.text, before.text);
    }
    assert_true(refused > 8);
    rig_close(&rig);
}

static void note(void *arg, const struct sp_store_answer *answer)
{
    struct sp_buf *order = arg;
    const struct sp_store_result *result = answer->results;
    sp_str value = result->kv_count ? result->kvs[0]->value : SP_STR("-");
    sp_buf_printf(order, " %llu:%.*s", (unsigned long long)answer->revision, SP_STR_ARG(value));
}

static void asks_of_one_client_are_carried_out_in_their_order(void **state)
{
    struct rig rig = { 0 };
    struct sp_buf order;
    sp_buf_init(&order, 0);
    rig_open(&rig);
    for (int i = 0; i < 3; i++) {
        char value[4] = { (char)('x' + i), 0 };
        struct sp_store_ask *ask = ask_new(&rig);
        sp_store_ask_put(ask, SP_STR("k"), sp_str_c(value), 0, true);
        sp_store_ask_post(ask, note, &order);
        ask = ask_new(&rig);
        sp_store_ask_range(ask, &(struct sp_store_span){ .from = SP_STR("k") }, 0, 0, false);
        sp_store_ask_post(ask, note, &order);
    }
    for (int i = 0; i < 4; i++)
        sp_loop_turn(rig.loop, 0);
    assert_true(sp_str_eq(sp_buf_str(&order), SP_STR(" 1:- 1:x 2:x 2:y 3:y 3:z")));
    sp_buf_deinit(&order);
    rig_close(&rig);
}

static void a_closed_client_is_silent_and_what_it_asked_is_done(void **state)
{
    struct rig rig = { 0 };
    struct reply reply = { 0 };
    bool closed = false;
    rig_open(&rig);
    struct sp_store_client *client = sp_store_client_new(rig.store, rig.loop);
    struct sp_store_ask *ask = sp_store_ask_new(client);
    sp_store_ask_put(ask, SP_STR("a"), SP_STR("1"), 0, false);
    sp_store_ask_post(ask, on_reply, &reply);
    sp_store_client_close(client, mark_true, &closed);
    assert_false(closed);
    turn_until(rig.loop, &closed);
    assert_false(reply.done);
    reply = get(&rig, "a");
    expect(&reply, "range 1 a=1@1,1,1,0");
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_and_a_value_at_the_limit_pass_and_one_byte_more_is_named),
        cmocka_unit_test(a_transaction_has_a_limit_of_operations_and_of_bytes),
        cmocka_unit_test(a_full_store_refuses_puts_and_takes_deletions),
        cmocka_unit_test(every_refusal_has_words_and_an_error),
        cmocka_unit_test(a_transaction_that_runs_out_of_memory_changes_nothing),
        cmocka_unit_test(asks_of_one_client_are_carried_out_in_their_order),
        cmocka_unit_test(a_closed_client_is_silent_and_what_it_asked_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
