/* floor.c - what the machine itself takes: the baselines by which the rooms' benchmarks are divided.
 *
 * Each is the least that any code for the job could do, written plainly: a decoder must look at the bytes, a
 * filter must be called through a table, a counter must be loaded and stored. A ratio to one of these says
 * how far a thing stands from the physical floor, and stays true when the machine's clock does not.
 *
 *     floor/call      a call through a pointer, as an ops table makes it
 *     floor/add       load, add, store of one word in memory
 *     floor/lines     find the line ends of a request's head by memchr
 *     floor/bytes     the same bytes one by one: add them up, nothing else
 *     floor/copy_1k   memcpy of 1 KiB that lies in the first-level cache
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum { COPY = 1024 };

/* A head as a browser or a mesh client sends it: 300 bytes, 9 lines. */
static const char head[] = "GET /api/v1/orders/1234567?expand=items HTTP/1.1\r\n"
                           "Host: orders.prod.svc.cluster.local:8080\r\n"
                           "User-Agent: okhttp/4.12.0\r\n"
                           "Accept: application/json\r\n"
                           "Accept-Encoding: gzip\r\n"
                           "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
                           "X-Request-Id: 6f1c7b8e-52ab-4c0e\r\n"
                           "Connection: keep-alive\r\n"
                           "\r\n";

static void nothing(void *state)
{
    sp_bench_keep(state);
}

struct indirect {
    void (*call)(void *state);
};

static void *make_indirect(void)
{
    struct indirect *i = sp_bench_alloc(sizeof *i);
    i->call = nothing;
    return i;
}

static void run_call(void *state, uint64_t rounds)
{
    struct indirect *i = state;
    for (uint64_t n = 0; n < rounds; n++) {
        sp_bench_keep(i); /* the pointer is loaded anew each time */
        i->call(i);
    }
}

static void *make_word(void)
{
    return sp_bench_alloc(sizeof(uint64_t));
}

static void run_add(void *state, uint64_t rounds)
{
    uint64_t *word = state;
    for (uint64_t n = 0; n < rounds; n++) {
        *word += 1;
        sp_bench_keep(word);
    }
}

static void run_lines(void *state, uint64_t rounds)
{
    (void)state; /* the head is a constant */
    for (uint64_t n = 0; n < rounds; n++) {
        const char *p = head, *end = head + sizeof head - 1;
        uint64_t lines = 0;
        while (p < end) {
            const char *nl = memchr(p, '\n', (size_t)(end - p));
            if (!nl)
                break;
            lines++;
            p = nl + 1;
        }
        sp_bench_keep_number(lines);
    }
}

static void run_bytes(void *state, uint64_t rounds)
{
    (void)state; /* the head is a constant */
    for (uint64_t n = 0; n < rounds; n++) {
        const volatile char *p = head; /* volatile: one load for each byte, as a state machine must */
        uint64_t sum = 0;
        for (size_t i = 0; i < sizeof head - 1; i++)
            sum += (unsigned char)p[i];
        sp_bench_keep_number(sum);
    }
}

static void *make_copy(void)
{
    return sp_bench_alloc(2 * COPY);
}

static void run_copy(void *state, uint64_t rounds)
{
    char *bytes = state;
    for (uint64_t n = 0; n < rounds; n++) {
        memcpy(bytes, bytes + COPY, COPY);
        sp_bench_keep(bytes);
    }
}

const struct sp_bench sp_bench_floor[] = {
    { .name = "floor/call", .make = make_indirect, .run = run_call, .drop = free },
    { .name = "floor/add", .make = make_word, .run = run_add, .drop = free },
    { .name = "floor/lines", .bytes = sizeof head - 1, .run = run_lines },
    { .name = "floor/bytes", .bytes = sizeof head - 1, .run = run_bytes },
    { .name = "floor/copy_1k", .bytes = COPY, .make = make_copy, .run = run_copy, .drop = free },
    { 0 },
};
