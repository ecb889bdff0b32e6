/* h1_golden: messages written by hand and what they mean, whole and cut at every place, with the decoder's
 * state saved and loaded around every call. */
#include "unit/wire/h1_kit.h"

static void check_whole(const struct h1_case *c)
{
    h1_check(c, &(struct h1_feed){ 0 }, "whole", 0);
}

static void check_every_cut(const struct h1_case *c)
{
    size_t len = sp_buf_str(&c->input).len;
    for (size_t cut = 1; cut < len; cut++)
        h1_check(c, &(struct h1_feed){ .cuts = &cut, .cut_count = 1 }, "cut at", cut);
}

static void check_strides(const struct h1_case *c)
{
    for (size_t stride = 1; stride <= 40; stride++)
        h1_check(c, &(struct h1_feed){ .stride = stride }, "strides of", stride);
}

static void check_restored(const struct h1_case *c)
{
    h1_check(c, &(struct h1_feed){ .restore = true }, "restored, whole", 0);
    for (size_t stride = 1; stride <= 17; stride++)
        h1_check(c, &(struct h1_feed){ .stride = stride, .restore = true }, "restored, strides of", stride);
}

static void requests_mean_what_is_written_beside_them(void **state)
{
    assert_true(h1_each_case("requests.txt", check_whole) >= 30);
}

static void responses_mean_what_is_written_beside_them(void **state)
{
    assert_true(h1_each_case("responses.txt", check_whole) >= 25);
}

static void a_cut_at_any_byte_changes_nothing(void **state)
{
    (void)h1_each_case("requests.txt", check_every_cut);
    (void)h1_each_case("responses.txt", check_every_cut);
}

static void reads_of_any_size_change_nothing(void **state)
{
    (void)h1_each_case("requests.txt", check_strides);
    (void)h1_each_case("responses.txt", check_strides);
}

static void a_state_saved_and_loaded_goes_on_at_every_event(void **state)
{
    (void)h1_each_case("requests.txt", check_restored);
    (void)h1_each_case("responses.txt", check_restored);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_mean_what_is_written_beside_them),
        cmocka_unit_test(responses_mean_what_is_written_beside_them),
        cmocka_unit_test(a_cut_at_any_byte_changes_nothing),
        cmocka_unit_test(reads_of_any_size_change_nothing),
        cmocka_unit_test(a_state_saved_and_loaded_goes_on_at_every_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
