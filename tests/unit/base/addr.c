/* addr: reading and printing at the edges, equality and hash by what counts, nets against a naive model. */
#include "base/addr.h"

#include "base/rng.h"
#include "unit/base/help.h"

static sp_addr parsed(const char *text)
{
    sp_addr addr;
    assert_int_equal(sp_addr_parse(sp_str_c(text), &addr), 0);
    return addr;
}

static sp_addr parsed_ip(const char *text)
{
    sp_addr addr;
    assert_int_equal(sp_addr_parse_ip(sp_str_c(text), 0, &addr), 0);
    return addr;
}

static void what_is_printed_reads_back_as_the_same(void **state)
{
    static const char *const texts[] = {
        "1.2.3.4:80",  "0.0.0.0:0",          "255.255.255.255:65535", "[::]:1",
        "[::1]:15001", "[2001:db8::ff]:443", "[::ffff:10.0.0.1]:9"
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char out[SP_ADDR_TEXT_BYTES];
        sp_addr addr = parsed(texts[i]);
        assert_int_equal(sp_addr_print(&addr, out, sizeof(out)), strlen(texts[i]));
        assert_string_equal(out, texts[i]);
    }
}

static void an_ip_alone_may_stand_in_brackets(void **state)
{
    sp_addr bare = parsed_ip("::1"), bracketed = parsed_ip("[::1]");
    char out[SP_ADDR_TEXT_BYTES];
    assert_true(sp_addr_eq(&bare, &bracketed));
    assert_int_equal(sp_addr_print_ip(&bare, out, sizeof(out)), 3);
    assert_string_equal(out, "::1");
}

static void what_is_no_address_is_refused_and_nothing_touched(void **state)
{
    static const char *const ips[] = { "",           "localhost", "1.2.3",     "1.2.3.4.5",    "256.1.1.1",
                                       "01.2.3.4",   "1.2.3.4 ",  "[1.2.3.4]", "[::1",         "::1]",
                                       "[]",         ":::",       "1::2::3",   "fe80::1%eth0", "::12345",
                                       "1.2.3.4/24", "0x7f.0.0.1" };
    static const char *const pairs[] = { "1.2.3.4",    "1.2.3.4:",   ":80",     "1.2.3.4:65536",
                                         "1.2.3.4:-1", "1.2.3.4:+1", "::1:80",  "[::1]80",
                                         "[::1]",      "[::1]:",     "host:80", "" };
    sp_addr addr = { .family = 77 };
    for (size_t i = 0; i < sizeof(ips) / sizeof(ips[0]); i++)
        assert_int_equal(sp_addr_parse_ip(sp_str_c(ips[i]), 1, &addr), SP_E_INVALID);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        assert_int_equal(sp_addr_parse(sp_str_c(pairs[i]), &addr), SP_E_INVALID);
    assert_int_equal(sp_addr_parse_ip(sp_str_of("1.2.3.4\0x", 9), 1, &addr), SP_E_INVALID);
    assert_int_equal(addr.family, 77);
}

static void text_is_read_by_its_length_not_to_a_nul(void **state)
{
    sp_addr addr;
    assert_int_equal(sp_addr_parse_ip(sp_str_of("10.0.0.123", 9), 0, &addr), 0);
    assert_int_equal(addr.ip[3], 12);
}

static void a_short_buffer_gets_a_terminated_beginning(void **state)
{
    char out[5] = "....";
    sp_addr addr = parsed("10.20.30.40:50");
    assert_int_equal(sp_addr_print(&addr, out, sizeof(out)), 4);
    assert_string_equal(out, "10.2");
    assert_int_equal(sp_addr_print(&addr, out, 0), 0);
}

static void a_unix_address_prints_its_path(void **state)
{
    char out[SP_ADDR_TEXT_BYTES];
    sp_addr addr = { .family = SP_ADDR_UNIX, .path = "/run/x.sock" };
    assert_int_equal(sp_addr_print(&addr, out, sizeof(out)), 11);
    assert_string_equal(out, "/run/x.sock");
    addr = (sp_addr){ .family = SP_ADDR_NONE };
    assert_int_equal(sp_addr_print(&addr, out, sizeof(out)), 0);
    assert_string_equal(out, "");
}

static void equality_and_hash_see_only_what_the_family_uses(void **state)
{
    sp_addr a = parsed("1.2.3.4:80"), b = a;
    b.ip[15] = 9; /* left over */
    assert_true(sp_addr_eq(&a, &b));
    assert_int_equal(sp_addr_hash(&a), sp_addr_hash(&b));
    b.port = 81;
    assert_false(sp_addr_eq(&a, &b));
    assert_int_not_equal(sp_addr_hash(&a), sp_addr_hash(&b));
    b = a;
    b.ip[3] = 5;
    assert_false(sp_addr_eq(&a, &b));

    sp_addr u = { .family = SP_ADDR_UNIX, .path = "@one" }, v = u;
    char copy[] = "@one";
    v.path = copy;
    v.port = 3;
    assert_true(sp_addr_eq(&u, &v));
    assert_int_equal(sp_addr_hash(&u), sp_addr_hash(&v));
    copy[3] = 'x';
    assert_false(sp_addr_eq(&u, &v));

    sp_addr six = parsed("[102:304::]:80");
    assert_false(sp_addr_eq(&a, &six));
}

static bool naive_in_net(const sp_addr *a, const sp_addr *net, uint32_t bits)
{
    for (uint32_t i = 0; i < bits; i++)
        if ((a->ip[i / 8] ^ net->ip[i / 8]) >> (7 - i % 8) & 1)
            return false;
    return true;
}

static void nets_agree_with_a_bit_by_bit_model(void **state)
{
    struct sp_rng rng;
    sp_rng_init(&rng, 11);
    for (int i = 0; i < 20000; i++) {
        sp_addr net = { .family = i & 1 ? SP_ADDR_IP4 : SP_ADDR_IP6 };
        uint32_t most = i & 1 ? 32 : 128;
        for (int at = 0; at < 16; at++)
            net.ip[at] = (uint8_t)sp_rng_next(&rng);
        sp_addr a = net;
        uint64_t flipped = sp_rng_below(&rng, most);
        a.ip[flipped / 8] ^= (uint8_t)(1u << (7 - flipped % 8));
        for (uint32_t bits = 0; bits <= most; bits++)
            assert_int_equal(sp_addr_in_net(&a, &net, bits), naive_in_net(&a, &net, bits));
    }
}

static void a_net_of_another_family_or_too_many_bits_holds_nothing(void **state)
{
    sp_addr four = parsed_ip("10.0.0.1"), six = parsed_ip("::1"),
            unix_path = { .family = SP_ADDR_UNIX, .path = "x" };
    assert_false(sp_addr_in_net(&four, &six, 0));
    assert_false(sp_addr_in_net(&four, &four, 33));
    assert_true(sp_addr_in_net(&four, &four, 32));
    assert_false(sp_addr_in_net(&unix_path, &unix_path, 0));
}

static void loopback_is_known_in_each_of_its_forms(void **state)
{
    static const struct {
        const char *ip;
        bool is;
    } cases[] = { { "127.0.0.1", true },        { "127.255.0.9", true },      { "::1", true },
                  { "::ffff:127.0.0.1", true }, { "128.0.0.1", false },       { "::2", false },
                  { "0.0.0.0", false },         { "::ffff:10.0.0.1", false }, { "::", false } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sp_addr addr = parsed_ip(cases[i].ip);
        assert_int_equal(sp_addr_is_loopback(&addr), cases[i].is);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_reads_back_as_the_same),
        cmocka_unit_test(an_ip_alone_may_stand_in_brackets),
        cmocka_unit_test(what_is_no_address_is_refused_and_nothing_touched),
        cmocka_unit_test(text_is_read_by_its_length_not_to_a_nul),
        cmocka_unit_test(a_short_buffer_gets_a_terminated_beginning),
        cmocka_unit_test(a_unix_address_prints_its_path),
        cmocka_unit_test(equality_and_hash_see_only_what_the_family_uses),
        cmocka_unit_test(nets_agree_with_a_bit_by_bit_model),
        cmocka_unit_test(a_net_of_another_family_or_too_many_bits_holds_nothing),
        cmocka_unit_test(loopback_is_known_in_each_of_its_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
