/* demo: what the demo's files share: the small mesh and its figures. */
#ifndef SP_CMD_SAMPAN_DEMO_H
#define SP_CMD_SAMPAN_DEMO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "io/loop.h"

enum demo_service { DEMO_FRONT, DEMO_STOCK, DEMO_PRICE, DEMO_SERVICES };

/* One service and the ports of the sidecar beside it. */
struct demo_node {
    const char *name;
    uint16_t app;      /* where the service listens */
    uint16_t inbound;  /* where others reach it: its sidecar */
    uint16_t http_out; /* front only: its sidecar's way out, HTTP */
    uint16_t bolt_out; /* front only: the same, Bolt */
    uint16_t admin;
};

extern const char *const demo_names[DEMO_SERVICES];

/* demo_config.c: the sidecar's bootstrap, as an operator would write it. */
void demo_bootstrap(struct sp_buf *out, const struct demo_node *nodes, enum demo_service which);

/* demo_load.c: a steady load of calls to the front's sidecar, over a few kept connections. */
struct demo_load;
struct demo_load *demo_load_start(struct sp_loop *loop, uint16_t port, uint32_t calls_per_second);
void demo_load_rest(struct demo_load *load); /* no new calls */
void demo_load_stop(struct demo_load *load); /* turn the loop once before it is freed */
struct demo_load_view {
    uint64_t sent, answered, failed; /* failed: no answer, or 5xx */
};
struct demo_load_view demo_load_view(const struct demo_load *load);

/* demo_page.c: who calls whom, from the sidecars' Prometheus pages. */
struct demo_page;
struct demo_page *demo_page_new(void);
void demo_page_free(struct demo_page *page);
/* A page that was fetched from the sidecar of `which`. */
void demo_page_feed(struct demo_page *page, enum demo_service which, sp_str prometheus);
/* What has happened since the last call, `seconds` long. `screen`: a table for a terminal, else one line. */
void demo_page_show(struct demo_page *page, struct sp_buf *out, double seconds, bool screen, bool colour);

#endif
