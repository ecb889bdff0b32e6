/* dns: names become addresses by a small server that the test itself is: families, order, lifetimes, aliases,
 * names that are not, silence, cancelling and freeing at every moment. */
#include "io/dns.h"

#include <strings.h>

#include "base/rng.h"
#include "io/dns_impl.h"
#include "unit/io/help.h"

/* --- the server ----------------------------------------------------------------------------------------- */

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, NAME_CAP = 256 };

struct record {
    const char *name;
    uint16_t type;
    uint32_t ttl;
    const char *value; /* an address, or a name */
};

static const struct record records[] = {
    { "one.test", TYPE_A, 30, "10.0.0.1" },        { "many.test", TYPE_A, 60, "10.0.0.9" },
    { "many.test", TYPE_A, 20, "10.0.0.3" },       { "many.test", TYPE_A, 60, "10.0.0.7" },
    { "many.test", TYPE_A, 60, "10.0.0.3" },       { "both.test", TYPE_A, 40, "10.0.0.4" },
    { "both.test", TYPE_AAAA, 50, "2001:db8::4" }, { "six.test", TYPE_AAAA, 50, "2001:db8::6" },
    { "alias.test", TYPE_CNAME, 5, "one.test" },   { "zero.test", TYPE_A, 0, "10.0.0.5" },
};

struct server {
    int fd;
    sp_addr addr;
    bool silent;
    uint32_t asked;
};

static void server_open(struct server *server)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    *server = (struct server){ .fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
    assert_int_equal(bind(server->fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&in, &len), 0);
    server->addr = loopback(ntohs(in.sin_port));
}

static void put16(uint8_t **at, uint32_t v)
{
    *(*at)++ = (uint8_t)(v >> 8);
    *(*at)++ = (uint8_t)v;
}

static void put_name(uint8_t **at, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");
        *(*at)++ = (uint8_t)len;
        memcpy(*at, name, len);
        *at += len;
        name += len + (name[len] == '.');
    }
    *(*at)++ = 0;
}

static const uint8_t *get_name(const uint8_t *at, char *name)
{
    size_t len = 0;
    while (*at) {
        memcpy(name + len, at + 1, *at);
        len += *at;
        name[len++] = '.';
        at += *at + 1;
    }
    name[len ? len - 1 : 0] = 0;
    return at + 1;
}

static void put_record(uint8_t **at, const struct record *r)
{
    put_name(at, r->name);
    put16(at, r->type);
    put16(at, 1);
    put16(at, r->ttl >> 16);
    put16(at, r->ttl & 0xffff);
    uint8_t *len_at = *at;
    put16(at, 0);
    uint8_t *from = *at;
    if (r->type == TYPE_CNAME)
        put_name(at, r->value);
    else
        *at += inet_pton(r->type == TYPE_A ? AF_INET : AF_INET6, r->value, *at) *
               (r->type == TYPE_A ? 4 : 16);
    put16(&len_at, (uint32_t)(*at - from));
}

/* Every record of `name` that fits `type`; an alias brings what it points to. Returns how many. */
static uint32_t put_answers(uint8_t **at, const char *name, uint16_t type, bool *exists)
{
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        if (strcasecmp(records[i].name, name) != 0)
            continue;
        *exists = true;
        if (records[i].type != type && records[i].type != TYPE_CNAME)
            continue;
        put_record(at, &records[i]);
        count++;
        if (records[i].type == TYPE_CNAME)
            count += put_answers(at, records[i].value, type, exists);
    }
    return count;
}

static void server_serve(struct server *server)
{
    uint8_t in[512], out[1024], *at = out;
    char name[NAME_CAP];
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    ssize_t got;
    while ((got = recvfrom(server->fd, in, sizeof(in), 0, (struct sockaddr *)&from, &len)) > 12) {
        server->asked++;
        if (server->silent)
            continue;
        bool exists = false;
        const uint8_t *question = get_name(in + 12, name);
        uint16_t type = (uint16_t)(question[0] << 8 | question[1]);
        at = out + 12;
        put_name(&at, name);
        put16(&at, type);
        put16(&at, 1);
        uint32_t count = put_answers(&at, name, type, &exists);
        uint8_t *head = out;
        put16(&head, (uint32_t)(in[0] << 8 | in[1]));
        put16(&head, exists ? 0x8180 : 0x8183);
        put16(&head, 1);
        put16(&head, count);
        put16(&head, 0);
        put16(&head, 0);
        assert_int_equal(sendto(server->fd, out, (size_t)(at - out), 0, (struct sockaddr *)&from, len),
                         at - out);
        len = sizeof(from);
    }
}

/* --- asking --------------------------------------------------------------------------------------------- */

struct asking {
    struct sp_loop *loop;
    struct sp_dns *dns;
    struct server server;
};

struct heard {
    uint32_t count;
    sp_err err;
    char text[2048]; /* the addresses in order, a blank between them */
    uint32_t ttl;
    void (*then)(struct heard *heard);
    struct asking *asking;
    struct sp_dns_query *other;
};

static void on_answer(void *arg, const struct sp_dns_answer *answer)
{
    struct heard *heard = arg;
    size_t at = 0;
    heard->count++;
    heard->err = answer->err;
    heard->ttl = answer->ttl_s;
    for (uint32_t i = 0; i < answer->count; i++) {
        at += sp_addr_print(&answer->addrs[i], heard->text + at, sizeof(heard->text) - at);
        heard->text[at++] = ' ';
    }
    heard->text[at ? at - 1 : 0] = 0;
    if (heard->then)
        heard->then(heard);
}

static void asking_open(struct asking *asking)
{
    server_open(&asking->server);
    asking->loop = new_loop();
    asking->dns = sp_dns_new(asking->loop);
    assert_non_null(asking->dns);
    assert_int_equal(sp_dns_set_servers(asking->dns, &asking->server.addr, 1), 0);
}

static void asking_close(struct asking *asking)
{
    sp_dns_free(asking->dns);
    sp_loop_free(asking->loop);
    close(asking->server.fd);
}

#define serve_until(asking, cond)                                                                            \
    do {                                                                                                     \
        uint64_t serve_end = sp_loop_clock((asking)->loop) + 30 * SP_NS_PER_S;                               \
        while (!(cond)) {                                                                                    \
            sp_loop_turn((asking)->loop, SP_NS_PER_MS);                                                      \
            server_serve(&(asking)->server);                                                                 \
            if (sp_loop_clock((asking)->loop) > serve_end)                                                   \
                fail_msg("%s never came true", #cond);                                                       \
        }                                                                                                    \
    } while (0)

static void check_family(const char *name, enum sp_dns_family family, sp_err err, const char *text,
                         uint32_t ttl)
{
    struct asking asking;
    struct heard heard = { 0 };
    asking_open(&asking);
    struct sp_dns_query *query = sp_dns_resolve(asking.dns, sp_str_c(name), 80, family, on_answer, &heard);
    assert_non_null(query);
    assert_int_equal(heard.count, 0);
    serve_until(&asking, heard.count);
    if (heard.err != err || strcmp(heard.text, text) != 0 || heard.ttl != ttl)
        fail_msg("%s: have %d \"%s\" ttl %u, want %d \"%s\" ttl %u", name, heard.err, heard.text, heard.ttl,
                 err, text, ttl);
    run_turns(asking.loop, 3);
    assert_int_equal(heard.count, 1);
    asking_close(&asking);
}

static void a_name_becomes_its_addresses_with_port_and_lifetime(void **state)
{
    check_family("one.test", SP_DNS_IP4_ONLY, 0, "10.0.0.1:80", 30);
    check_family("zero.test", SP_DNS_IP4_ONLY, 0, "10.0.0.5:80", 0);
}

static void addresses_come_sorted_once_each_with_the_smallest_lifetime(void **state)
{
    check_family("many.test", SP_DNS_IP4_ONLY, 0, "10.0.0.3:80 10.0.0.7:80 10.0.0.9:80", 20);
}

static void an_alias_lends_its_lifetime(void **state)
{
    check_family("alias.test", SP_DNS_IP4_ONLY, 0, "10.0.0.1:80", 5);
}

static void each_family_rule_takes_what_it_says(void **state)
{
    check_family("both.test", SP_DNS_ALL, 0, "10.0.0.4:80 [2001:db8::4]:80", 40);
    check_family("both.test", SP_DNS_ANY, 0, "[2001:db8::4]:80", 50);
    check_family("both.test", SP_DNS_IP4_FIRST, 0, "10.0.0.4:80", 40);
    check_family("both.test", SP_DNS_IP4_ONLY, 0, "10.0.0.4:80", 40);
    check_family("both.test", SP_DNS_IP6_ONLY, 0, "[2001:db8::4]:80", 50);
    check_family("one.test", SP_DNS_ANY, 0, "10.0.0.1:80", 30);
    check_family("six.test", SP_DNS_IP4_FIRST, 0, "[2001:db8::6]:80", 50);
    check_family("six.test", SP_DNS_IP4_ONLY, SP_E_MISSING, "", 0);
}

static void a_name_that_is_not_is_missing(void **state)
{
    check_family("nobody.test", SP_DNS_ALL, SP_E_MISSING, "", 0);
}

static void what_is_no_name_is_invalid(void **state)
{
    char long_name[300];
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    check_family("", SP_DNS_ALL, SP_E_INVALID, "", 0);
    check_family(long_name, SP_DNS_ALL, SP_E_INVALID, "", 0);
}

static void numbers_and_the_hosts_file_need_no_server(void **state)
{
    struct asking asking;
    struct heard heard = { 0 };
    asking_open(&asking);
    assert_non_null(sp_dns_resolve(asking.dns, SP_STR("192.0.2.7"), 1, SP_DNS_ALL, on_answer, &heard));
    assert_int_equal(heard.count, 0);
    run_until(asking.loop, heard.count);
    assert_string_equal(heard.text, "192.0.2.7:1");
    assert_non_null(sp_dns_resolve(asking.dns, SP_STR("localhost"), 2, SP_DNS_IP4_ONLY, on_answer, &heard));
    assert_int_equal(heard.count, 1); /* c-ares has answered inside the call, we have not */
    run_until(asking.loop, heard.count == 2);
    assert_string_equal(heard.text, "127.0.0.1:2");
    assert_int_equal(asking.server.asked, 0);
    asking_close(&asking);
    check_family("192.0.2.7", SP_DNS_IP6_ONLY, SP_E_MISSING, "", 0);
    check_family("2001:db8::7", SP_DNS_IP4_ONLY, SP_E_MISSING, "", 0);
    check_family("2001:db8::7", SP_DNS_IP4_FIRST, 0, "[2001:db8::7]:80", 0);
}

static void many_queries_at_once_are_answered_each(void **state)
{
    struct asking asking;
    static struct heard heard[60];
    memset(heard, 0, sizeof(heard));
    asking_open(&asking);
    for (int i = 0; i < 60; i++)
        assert_non_null(sp_dns_resolve(asking.dns, i & 1 ? SP_STR("both.test") : SP_STR("nobody.test"), 80,
                                       SP_DNS_ALL, on_answer, &heard[i]));
    for (int i = 0; i < 60; i++)
        serve_until(&asking, heard[i].count);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(heard[i].count, 1);
        assert_int_equal(heard[i].err, i & 1 ? 0 : SP_E_MISSING);
    }
    asking_close(&asking);
}

/* --- resolv.conf ---------------------------------------------------------------------------------------- */

/* c-ares knows no ports in that file: `server` is the second of two that have the same one. */
static void server_open_beside(struct server *server, const struct server *first)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons(first->addr.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1) };
    *server = (struct server){ .fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
    assert_int_equal(bind(server->fd, (struct sockaddr *)&in, sizeof(in)), 0);
    server->addr = first->addr;
    server->addr.ip[3]++;
}

static void write_conf(const char *path, const struct server *server)
{
    char beside[128];
    snprintf(beside, sizeof(beside), "%s.new", path);
    FILE *f = fopen(beside, "w");
    assert_non_null(f);
    fprintf(f, "nameserver 127.0.0.%u\n", server->addr.ip[3]);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(beside, path), 0);
}

static void ask_for(struct asking *asking, const char *name, struct heard *heard)
{
    *heard = (struct heard){ 0 };
    assert_non_null(sp_dns_resolve(asking->dns, sp_str_c(name), 80, SP_DNS_IP4_ONLY, on_answer, heard));
}

static void servers_that_change_are_asked_without_a_new_start(void **state)
{
    struct asking asking = { .loop = new_loop() };
    struct server next;
    struct heard heard, slow;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/sampan-test-resolv-%d.conf", (int)getpid());
    server_open(&asking.server);
    server_open_beside(&next, &asking.server);
    write_conf(path, &asking.server);
    asking.dns = sp_dns_new(asking.loop);
    assert_non_null(asking.dns);
    assert_int_equal(sp_cares_use(asking.dns, path, asking.server.addr.port, 0), 0);
    ask_for(&asking, "one.test", &heard);
    serve_until(&asking, heard.count);
    assert_int_equal(heard.err, 0);
    uint32_t asked = asking.server.asked;
    assert_true(asked > 0);

    /* What was asked before keeps its server; what comes now goes to the next. */
    asking.server.silent = true;
    ask_for(&asking, "both.test", &slow);
    serve_until(&asking, asking.server.asked > asked);
    write_conf(path, &next);
    ask_for(&asking, "many.test", &heard);
    for (int i = 0; i < 10000 && !heard.count; i++) {
        sp_loop_turn(asking.loop, SP_NS_PER_MS);
        server_serve(&next);
    }
    assert_int_equal(heard.count, 1);
    assert_string_equal(heard.text, "10.0.0.3:80 10.0.0.7:80 10.0.0.9:80");
    assert_true(next.asked > 0);
    assert_int_equal(slow.count, 0);
    asking.server.silent = false;
    serve_until(&asking, slow.count); /* by its second try */
    assert_int_equal(slow.err, 0);
    run_turns(asking.loop, 3); /* the old channel goes */

    asked = asking.server.asked;
    ask_for(&asking, "one.test", &heard);
    for (int i = 0; i < 10000 && !heard.count; i++) {
        sp_loop_turn(asking.loop, SP_NS_PER_MS);
        server_serve(&next);
    }
    assert_int_equal(heard.err, 0);
    assert_int_equal(asking.server.asked, asked);
    assert_int_equal(unlink(path), 0);
    close(next.fd);
    asking_close(&asking);
}

static void the_file_is_looked_at_once_in_a_while(void **state)
{
    struct asking asking = { .loop = new_loop() };
    struct server next;
    struct heard heard;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/sampan-test-resolv-%d.conf", (int)getpid());
    server_open(&asking.server);
    server_open_beside(&next, &asking.server);
    write_conf(path, &asking.server);
    asking.dns = sp_dns_new(asking.loop);
    assert_non_null(asking.dns);
    assert_int_equal(sp_cares_use(asking.dns, path, asking.server.addr.port, 3600 * SP_NS_PER_S), 0);
    ask_for(&asking, "one.test", &heard); /* looks */
    serve_until(&asking, heard.count);
    write_conf(path, &next);
    ask_for(&asking, "one.test", &heard);
    serve_until(&asking, heard.count);
    assert_int_equal(heard.err, 0);
    server_serve(&next);
    assert_int_equal(next.asked, 0);
    assert_int_equal(unlink(path), 0);
    close(next.fd);
    asking_close(&asking);
}

static void servers_that_were_given_stay_whatever_the_file_says(void **state)
{
    struct asking asking;
    struct heard heard;
    struct server other;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/sampan-test-resolv-%d.conf", (int)getpid());
    server_open(&asking.server);
    server_open_beside(&other, &asking.server);
    write_conf(path, &other);
    asking.loop = new_loop();
    asking.dns = sp_dns_new(asking.loop);
    assert_int_equal(sp_cares_use(asking.dns, path, asking.server.addr.port, 0), 0);
    assert_int_equal(sp_dns_set_servers(asking.dns, &asking.server.addr, 1), 0);
    assert_int_equal(unlink(path), 0);
    ask_for(&asking, "one.test", &heard);
    serve_until(&asking, heard.count);
    assert_int_equal(heard.err, 0);
    close(other.fd);
    asking_close(&asking);
}

/* --- silence, cancelling, freeing ----------------------------------------------------------------------- */

static void a_silent_server_comes_to_the_timeout(void **state)
{
    struct asking asking;
    struct heard heard = { 0 };
    asking_open(&asking);
    asking.server.silent = true;
    assert_non_null(sp_dns_resolve(asking.dns, SP_STR("one.test"), 80, SP_DNS_IP4_ONLY, on_answer, &heard));
    /* The tries last some seconds: what can be checked at once is that the loop is told when to go on. */
    serve_until(&asking, asking.server.asked == 1);
    sp_ns due = sp_loop_due(asking.loop);
    assert_true(due > sp_loop_now(asking.loop) && due < sp_loop_now(asking.loop) + 3 * SP_NS_PER_S);
    assert_int_equal(sp_dns_set_servers(asking.dns, &asking.server.addr, 1), SP_E_AGAIN);
    asking.server.silent = false;
    serve_until(&asking, heard.count); /* the second try, by the timer alone */
    assert_int_equal(asking.server.asked, 2);
    assert_int_equal(heard.err, 0);
    asking_close(&asking);
}

static void a_server_that_is_not_there_is_an_error(void **state)
{
    struct asking asking;
    struct heard heard = { 0 };
    asking_open(&asking);
    close(asking.server.fd); /* ICMP says so: no timeout to wait for */
    assert_non_null(sp_dns_resolve(asking.dns, SP_STR("one.test"), 80, SP_DNS_IP4_ONLY, on_answer, &heard));
    run_until(asking.loop, heard.count);
    assert_int_equal(heard.err, SP_E_IO);
    asking.server.fd = -1;
    asking_close(&asking);
}

static void a_cancelled_query_stays_silent(void **state)
{
    struct asking asking;
    struct heard heard = { 0 }, other = { 0 };
    asking_open(&asking);
    struct sp_dns_query *query = sp_dns_resolve(asking.dns, SP_STR("one.test"), 80, SP_DNS_IP4_ONLY,
                                                on_answer, &heard);
    sp_dns_cancel(query); /* under way */
    query = sp_dns_resolve(asking.dns, SP_STR("192.0.2.7"), 80, SP_DNS_IP4_ONLY, on_answer, &heard);
    sp_dns_cancel(query); /* its answer lies ready */
    sp_dns_cancel(NULL);
    assert_non_null(sp_dns_resolve(asking.dns, SP_STR("many.test"), 80, SP_DNS_IP4_ONLY, on_answer, &other));
    serve_until(&asking, other.count);
    run_turns(asking.loop, 5);
    assert_int_equal(heard.count, 0);
    asking_close(&asking);
}

static void freeing_drops_what_is_under_way_and_what_lies_ready(void **state)
{
    uint64_t blocks = sp_mem_live_blocks();
    struct asking asking;
    struct heard heard = { 0 };
    asking_open(&asking);
    asking.server.silent = true;
    for (int i = 0; i < 5; i++) {
        assert_non_null(sp_dns_resolve(asking.dns, SP_STR("one.test"), 80, SP_DNS_ALL, on_answer, &heard));
        assert_non_null(sp_dns_resolve(asking.dns, SP_STR("192.0.2.7"), 80, SP_DNS_ALL, on_answer, &heard));
    }
    sp_dns_cancel(sp_dns_resolve(asking.dns, SP_STR("both.test"), 80, SP_DNS_ALL, on_answer, &heard));
    sp_dns_free(asking.dns);
    asking.dns = NULL;
    run_turns(asking.loop, 5);
    assert_int_equal(heard.count, 0);
    asking_close(&asking);
    assert_int_equal(sp_mem_live_blocks(), blocks);
}

static void free_dns(struct heard *heard)
{
    sp_dns_free(heard->asking->dns);
    heard->asking->dns = NULL;
}

static void cancel_other(struct heard *heard)
{
    sp_dns_cancel(heard->other);
}

static void an_answer_may_cancel_another_or_free_all(void **state)
{
    for (int which = 0; which < 2; which++) {
        struct asking asking;
        struct heard first = { .then = which ? free_dns : cancel_other, .asking = &asking }, second = { 0 };
        asking_open(&asking);
        assert_non_null(sp_dns_resolve(asking.dns, SP_STR("192.0.2.1"), 1, SP_DNS_ALL, on_answer, &first));
        first.other = sp_dns_resolve(asking.dns, SP_STR("192.0.2.2"), 1, SP_DNS_ALL, on_answer, &second);
        run_until(asking.loop, first.count);
        run_turns(asking.loop, 5);
        assert_int_equal(second.count, 0);
        asking_close(&asking);
    }
}

static void failing_allocations_lose_nothing(void **state)
{
    uint64_t blocks = sp_mem_live_blocks();
    struct asking asking;
    asking_open(&asking);
    (void)sp_mem_fail_at(1);
    assert_null(sp_dns_new(asking.loop));
    (void)sp_mem_fail_at(1);
    assert_int_equal(sp_dns_set_servers(asking.dns, &asking.server.addr, 1), SP_E_NOMEM);
    (void)sp_mem_fail_at(0);
    asking_close(&asking);
    for (uint64_t n = 1; n <= 6; n++) {
        struct heard heard = { 0 };
        asking_open(&asking);
        (void)sp_mem_fail_at(n);
        struct sp_dns_query *query = sp_dns_resolve(asking.dns, SP_STR("192.0.2.7"), 80, SP_DNS_IP4_ONLY,
                                                    on_answer, &heard);
        assert_int_equal(query == NULL, n == 1);
        if (query)
            run_until(asking.loop, heard.count);
        (void)sp_mem_fail_at(0);
        if (n == 2)
            assert_int_equal(heard.err, SP_E_NOMEM);
        asking_close(&asking);
        assert_int_equal(sp_mem_live_blocks(), blocks);
    }
}

/* --- sorting -------------------------------------------------------------------------------------------- */

static void sorted_sets_are_equal_whatever_the_order_they_came_in(void **state)
{
    struct sp_rng rng;
    sp_addr first[SP_DNS_ADDRS_MAX], again[SP_DNS_ADDRS_MAX];
    sp_rng_init(&rng, 3);
    for (int round = 0; round < 200; round++) {
        uint32_t count = (uint32_t)sp_rng_below(&rng, 40);
        for (uint32_t i = 0; i < count; i++) {
            first[i] = loopback(80);
            first[i].family = sp_rng_chance(&rng, 300) ? SP_ADDR_IP6 : SP_ADDR_IP4;
            first[i].ip[3] = (uint8_t)sp_rng_below(&rng, 30);
        }
        for (uint32_t i = 0; i < count; i++)
            again[i] = first[count - 1 - i];
        uint32_t kept = sp_dns_sort(first, count);
        assert_int_equal(sp_dns_sort(again, count), kept);
        for (uint32_t i = 0; i < kept; i++) {
            assert_true(sp_addr_eq(&first[i], &again[i]));
            for (uint32_t j = i + 1; j < kept; j++)
                assert_false(sp_addr_eq(&first[i], &first[j]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_becomes_its_addresses_with_port_and_lifetime),
        cmocka_unit_test(addresses_come_sorted_once_each_with_the_smallest_lifetime),
        cmocka_unit_test(an_alias_lends_its_lifetime),
        cmocka_unit_test(each_family_rule_takes_what_it_says),
        cmocka_unit_test(a_name_that_is_not_is_missing),
        cmocka_unit_test(what_is_no_name_is_invalid),
        cmocka_unit_test(numbers_and_the_hosts_file_need_no_server),
        cmocka_unit_test(many_queries_at_once_are_answered_each),
        cmocka_unit_test(servers_that_change_are_asked_without_a_new_start),
        cmocka_unit_test(the_file_is_looked_at_once_in_a_while),
        cmocka_unit_test(servers_that_were_given_stay_whatever_the_file_says),
        cmocka_unit_test(a_silent_server_comes_to_the_timeout),
        cmocka_unit_test(a_server_that_is_not_there_is_an_error),
        cmocka_unit_test(a_cancelled_query_stays_silent),
        cmocka_unit_test(freeing_drops_what_is_under_way_and_what_lies_ready),
        cmocka_unit_test(an_answer_may_cancel_another_or_free_all),
        cmocka_unit_test(failing_allocations_lose_nothing),
        cmocka_unit_test(sorted_sets_are_equal_whatever_the_order_they_came_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
