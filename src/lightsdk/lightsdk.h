/* lightsdk: the door where an application with a light SDK says what it serves and what it calls.
 *
 * It is HTTP on a loopback address (SOFARPC's `mesh` registry and anthunder speak it); the calls themselves
 * enter by a listener. What was said is kept here and shown by lightsdk/view.h. Lives on one loop; its thread
 * alone. */
#ifndef SP_LIGHTSDK_LIGHTSDK_H
#define SP_LIGHTSDK_LIGHTSDK_H

#include <stdint.h>

struct sp_http_server;
struct sp_lightsdk;
struct sp_log;
struct sp_loop;
struct sp_settings;

struct sp_lightsdk_config {
    struct sp_loop *loop;
    const struct sp_settings *settings; /* borrowed */
    struct sp_log *log;                 /* borrowed; may be NULL */
    uint64_t seed;                      /* of tables whose keys applications choose */
    /* A clock that never goes back, in nanoseconds; how often the same is logged depends on it. */
    uint64_t (*now_ns)(void *arg);
    /* Called behind each change of what is kept; may be NULL. */
    void (*on_change)(void *arg);
    void *arg;
};

/* NULL when memory is out. It listens nowhere yet: that is done on its server, by whoever opens addresses. */
struct sp_lightsdk *sp_lightsdk_new(const struct sp_lightsdk_config *config);
/* Borrowed; goes with the sdk. */
struct sp_http_server *sp_lightsdk_server(struct sp_lightsdk *sdk);
/* Cuts its connections: turn the loop once before freeing that. NULL is fine. */
void sp_lightsdk_free(struct sp_lightsdk *sdk);

#endif
