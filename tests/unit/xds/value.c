/* The small values that stand everywhere: times, addresses, metadata. */
#include "unit/xds/help.h"

#define MATCH "match: {prefix: /}\n"
#define LOAD "name: c\ntype: %s\nload_assignment:\n  cluster_name: c\n  endpoints:\n"

static void a_negative_or_endless_time_is_an_error(void **state)
{
    (void)state;
    check_says(&route_frame, MATCH "route: {cluster: out, timeout: -1s, idle_timeout: 300000000000s}",
               "2:32: route.timeout: must not be negative\n"
               "2:51: route.idle_timeout: must be less than 290 years; 0s means no limit\n");
}

static void a_unix_path_is_no_longer_than_a_socket_s_name(void **state)
{
    (void)state;
    char text[512], path[128];
    memset(path, 'p', sizeof(path));
    path[0] = '/';
    snprintf(text, sizeof(text),
             "name: c\nload_assignment:\n  cluster_name: c\n  endpoints:\n"
             "  - lb_endpoints: [{endpoint: {address: {pipe: {path: %.*s}}}}]\n",
             108, path);
    check_says(
        &cluster_frame, text,
        "5:55: load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.pipe.path: must be at most 107 "
        "bytes, "
        "none of them NUL: a socket's name is no longer\n");
    snprintf(text, sizeof(text),
             "name: c\nload_assignment:\n  cluster_name: c\n  endpoints:\n"
             "  - lb_endpoints: [{endpoint: {address: {pipe: {path: %.*s}}}}]\n",
             107, path);
    check_fine(&cluster_frame, text);
}

static void check_host(const char *type, const char *address, const char *words)
{
    char text[1024], want[1024];
    snprintf(text, sizeof(text),
             LOAD
             "  - lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: 1}}}}]\n",
             type, address);
    if (!words) {
        check_fine(&cluster_frame, text);
        return;
    }
    snprintf(
        want, sizeof(want),
        "6:68: load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: %s\n",
        words);
    check_says(&cluster_frame, text, want);
}

static void addresses_are_numbers_and_names_only_where_they_are_resolved(void **state)
{
    (void)state;
    check_host("STATIC", "10.0.0.1", NULL);
    check_host("STATIC", "\"::1\"", NULL);
    check_host("STATIC", "10.0.0",
               "\"10.0.0\" is not an IP address; names are resolved in clusters of type STRICT_DNS only");
    check_host("STRICT_DNS", "a-b_c.example.", NULL);
    check_host("STRICT_DNS", "\"::1\"", NULL);
    check_host("STRICT_DNS", "a..b", "\"a..b\" is neither an IP address nor a host name");
    check_host("STRICT_DNS", ".a", "\".a\" is neither an IP address nor a host name");
    check_host("STRICT_DNS", "a/b", "\"a/b\" is neither an IP address nor a host name");
}

/* Metadata is free: what is not as Istio writes it is nobody's error, and read as empty. */
static void odd_metadata_is_empty(void **state)
{
    (void)state;
    static const char *const odd[] = {
        "{}",
        "{filter_metadata: {}}",
        "{filter_metadata: {istio: {}}}",
        "{filter_metadata: {istio: {services: 5}}}",
        "{filter_metadata: {istio: {services: []}}}",
        "{filter_metadata: {istio: {services: [5]}}}",
        "{filter_metadata: {other: {services: [{host: h}]}}}",
    };
    for (size_t i = 0; i < SP_COUNTOF(odd); i++) {
        char text[512];
        struct loaded l;
        snprintf(text, sizeof(text), "name: c\nmetadata: %s\nload_assignment: {cluster_name: c}\n", odd[i]);
        check_takes(&cluster_frame, text, &l);
        check_str(cluster_of(&l, "c")->service, "c");
        unload(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_negative_or_endless_time_is_an_error),
        cmocka_unit_test(a_unix_path_is_no_longer_than_a_socket_s_name),
        cmocka_unit_test(addresses_are_numbers_and_names_only_where_they_are_resolved),
        cmocka_unit_test(odd_metadata_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
