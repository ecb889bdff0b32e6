/* lightsdk: the five requests of the interface, and one of our own for people.
 *
 *      POST /configs/application        who I am                      GET /services    what is kept, as JSON
 *      POST /services/publish           I serve this
 *      POST /services/unpublish
 *      POST /services/subscribe         I am going to call this ──> { "success": true, "datas": [] }
 *      POST /services/unsubscribe
 *
 * With it a program keeps only its serialiser and a connection to its own machine: discovery, routing and
 * resilience are the sidecar's. It makes no difference to a call whether its service was subscribed: calls
 * enter by a listener and find their route by name.
 *
 * `datas` stays empty. The SDKs call their own machine at the port that they have built in, whatever stands
 * there; from an entry they would only take parameters behind a "?", and the bootstrap has none to give.
 *
 * A publication does not say where the application listens. In this order: the request's `port` (one SDK
 * sends it), a property of that name, the bootstrap's light_sdk.applications for the protocol. With none it
 * is kept without an address: the routes of the bootstrap may know it all the same.
 *
 * What is wrong is said as the interface wants it: HTTP 200, `success` false, and why. Only what is no
 * request of this interface gets another status. A page in a browser on this machine could send such requests
 * unasked, since text/plain needs no permission; browsers then say where the page came from (Origin), so that
 * is refused. */
#include "lightsdk/lightsdk.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "lightsdk/lightsdk_impl.h"
#include "model/settings.h"
#include "rpc/http.h"

enum { SCRATCH_BLOCK_BYTES = 16 * 1024, SCRATCH_BYTES = 512 * 1024, ANSWER_BYTES = 4096 };

#define JSON_TYPE "application/json"
#define WARNING_REST_NS 10000000000ull /* a line each ten seconds is read, and fills no disk */

/* What a request asks for, once its body is read. Fills `answer` behind "success": true where there is more
 * to say; a failure leaves its reason in `why`. */
typedef sp_err act_fn(struct sp_lightsdk *sdk, const struct sp_http_request *request,
                      struct sp_lightsdk_ask *ask, struct sp_buf *answer, char *why);

/* ---- answers ---- */

/* An application that asks in a loop must not fill the log: the first is said, later ones are counted, and
 * the next line after a rest tells how many there were. Counters count them all. */
static bool is_worth_a_line(struct sp_lightsdk *sdk, struct sp_lightsdk_warning *warning,
                            uint64_t *ret_unsaid)
{
    uint64_t now = sdk->config.now_ns(sdk->config.arg);
    if (now < warning->from_ns) {
        warning->unsaid++;
        return false;
    }
    *ret_unsaid = warning->unsaid;
    *warning = (struct sp_lightsdk_warning){ .from_ns = now + WARNING_REST_NS };
    return true;
}

static sp_err refuse(char *why, sp_err err, const char *text)
{
    snprintf(why, SP_LIGHTSDK_WHY_BYTES, "%s", text);
    return err;
}

static void answer_refusal(struct sp_lightsdk *sdk, struct sp_http_call *call, sp_err err, const char *why)
{
    char storage[ANSWER_BYTES];
    struct sp_buf out;
    uint64_t unsaid;
    sp_str path = sp_http_request(call)->path;
    if (err == SP_E_LIMIT)
        sdk->view.limited++;
    else
        sdk->view.wrong++;
    if (is_worth_a_line(sdk, &sdk->refused, &unsaid))
        sp_log_line(sdk->config.log, SP_LOG_WARN, "light SDK: request refused",
                    "path=%.*s why=\"%s\" unsaid=%llu", SP_STR_ARG(path), why, (unsigned long long)unsaid);
    sp_buf_init_fixed(&out, storage, sizeof(storage));
    sp_buf_add_c(&out, "{\"success\":false,\"errorMessage\":");
    sp_buf_add_json(&out, sp_str_c(why));
    sp_buf_add_c(&out, "}\n");
    sp_http_answer(call, 200, JSON_TYPE, sp_buf_str(&out));
}

static void handle(struct sp_lightsdk *sdk, struct sp_http_call *call, act_fn *act)
{
    const struct sp_http_request *request = sp_http_request(call);
    struct sp_lightsdk_ask ask;
    struct sp_buf out;
    char why[SP_LIGHTSDK_WHY_BYTES] = "out of memory";
    sdk->view.asks++;
    sp_arena_reset(&sdk->scratch);
    sp_buf_init(&out, 0);
    sp_buf_add_c(&out, "{\"success\":true");
    sp_err err = sp_lightsdk_read(&sdk->scratch, request->body, &ask, why);
    if (!err)
        err = act(sdk, request, &ask, &out, why);
    sp_buf_add_c(&out, "}\n");
    if (err)
        answer_refusal(sdk, call, err, why);
    else
        sp_http_answer_buf(call, 200, JSON_TYPE, &out);
    sp_buf_deinit(&out);
}

static void tell_change(struct sp_lightsdk *sdk)
{
    if (sdk->config.on_change)
        sdk->config.on_change(sdk->config.arg);
}

/* ---- what is checked ---- */

static bool is_name(sp_str text)
{
    if (text.len > SP_LIGHTSDK_NAME_BYTES)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    return true;
}

static sp_err check_names(const struct sp_lightsdk_ask *ask, char *why)
{
    if (!is_name(ask->application.name))
        return refuse(why, SP_E_INVALID, "appName should be up to 512 bytes without control characters");
    if (!is_name(ask->service))
        return refuse(why, SP_E_INVALID, "serviceName should be up to 512 bytes without control characters");
    if (!is_name(ask->protocol_type) || !is_name(ask->group) || !is_name(ask->subscription.target))
        return refuse(
            why, SP_E_INVALID,
            "protocolType, group and targetAppAddress should be up to 512 bytes without control characters");
    return 0;
}

static sp_err check_service(const struct sp_lightsdk_ask *ask, char *why)
{
    if (!ask->service.len)
        return refuse(why, SP_E_INVALID, "serviceName is missing");
    return check_names(ask, why);
}

static sp_err keep(struct sp_lightsdk *sdk, enum sp_lightsdk_shelf_kind kind, const void *value, char *why)
{
    sp_err err = sp_lightsdk_keep(sdk, kind, value);
    if (err == SP_E_LIMIT)
        return refuse(why, err, "the sidecar keeps no more: a limit of light SDK entries is reached");
    if (err)
        return refuse(why, err, "the sidecar is out of memory");
    tell_change(sdk);
    return 0;
}

/* ---- where an application listens ---- */

static bool is_protocol(sp_str said, sp_str protocol)
{
    return sp_str_eq_nocase(said, protocol) ||
           (sp_str_eq(said, SP_STR("1")) && sp_str_eq(protocol, SP_STR("bolt")));
}

static void by_bootstrap(const struct sp_lightsdk_spec *spec, struct sp_lightsdk_publication *p)
{
    for (uint32_t i = 0; i < spec->app_count; i++) {
        if (!is_protocol(p->protocol, spec->apps[i].protocol) &&
            !is_protocol(p->protocol_type, spec->apps[i].protocol))
            continue;
        p->addr = spec->apps[i].addr;
        p->source = SP_LIGHTSDK_BY_BOOTSTRAP;
        return;
    }
}

/* The application is who asks: its port is on the address that it came from. */
static void at_port(const struct sp_http_request *request, uint16_t port, enum sp_lightsdk_source source,
                    struct sp_lightsdk_publication *p)
{
    p->addr = (sp_addr){ .family = SP_ADDR_IP4, .ip = { 127, 0, 0, 1 } };
    if (!request->is_unix && request->peer.family != SP_ADDR_NONE)
        p->addr = request->peer;
    p->addr.port = port;
    p->source = source;
}

static void find_addr(const struct sp_lightsdk *sdk, const struct sp_http_request *request,
                      const struct sp_lightsdk_ask *ask, struct sp_lightsdk_publication *p)
{
    uint64_t port;
    if (ask->port) {
        at_port(request, ask->port, SP_LIGHTSDK_BY_PORT, p);
        return;
    }
    for (uint32_t i = 0; i < p->properties.count; i++) {
        const struct sp_lightsdk_pair *pair = &p->properties.list[i];
        if (!sp_str_eq(pair->name, SP_STR("port")) || sp_str_to_u64(pair->value, &port) || !port ||
            port > UINT16_MAX)
            continue;
        at_port(request, (uint16_t)port, SP_LIGHTSDK_BY_PROPERTY, p);
        return;
    }
    by_bootstrap(&sdk->config.settings->lightsdk, p);
}

/* ---- the requests ---- */

static sp_err act_application(struct sp_lightsdk *sdk, const struct sp_http_request *request,
                              struct sp_lightsdk_ask *ask, struct sp_buf *answer, char *why)
{
    sp_err err = check_names(ask, why); /* an application without a name is one too */
    if (!err)
        err = keep(sdk, SP_LIGHTSDK_APPLICATIONS, &ask->application, why);
    if (!err)
        sp_log_line(sdk->config.log, SP_LOG_INFO, "light SDK: application", "name=%.*s",
                    SP_STR_ARG(ask->application.name));
    return err;
}

static sp_err act_publish(struct sp_lightsdk *sdk, const struct sp_http_request *request,
                          struct sp_lightsdk_ask *ask, struct sp_buf *answer, char *why)
{
    struct sp_lightsdk_publication *p = &ask->publication;
    char text[SP_ADDR_TEXT_BYTES];
    uint64_t unsaid;
    sp_err err = check_service(ask, why);
    if (err)
        return err;
    find_addr(sdk, request, ask, p);
    err = keep(sdk, SP_LIGHTSDK_PUBLICATIONS, p, why);
    if (err)
        return err;
    if (p->addr.family != SP_ADDR_NONE) {
        sp_addr_print(&p->addr, text, sizeof(text));
        sp_log_line(sdk->config.log, SP_LOG_INFO, "light SDK: service published",
                    "service=%.*s protocol=%.*s addr=%s", SP_STR_ARG(p->service), SP_STR_ARG(p->protocol),
                    text);
    } else if (is_worth_a_line(sdk, &sdk->nowhere, &unsaid)) {
        sp_log_line(sdk->config.log, SP_LOG_WARN, "light SDK: nobody says where a service is served",
                    "service=%.*s protocol=%.*s unsaid=%llu", SP_STR_ARG(p->service), SP_STR_ARG(p->protocol),
                    (unsigned long long)unsaid);
    }
    return 0;
}

static sp_err act_unpublish(struct sp_lightsdk *sdk, const struct sp_http_request *request,
                            struct sp_lightsdk_ask *ask, struct sp_buf *answer, char *why)
{
    sp_err err = check_service(ask, why);
    if (err)
        return err;
    if (sp_lightsdk_drop(sdk, SP_LIGHTSDK_PUBLICATIONS, ask)) {
        sp_log_line(sdk->config.log, SP_LOG_INFO, "light SDK: service taken back", "service=%.*s",
                    SP_STR_ARG(ask->service));
        tell_change(sdk);
    }
    return 0; /* also when it was not there: a client that asks twice has what it wants */
}

static sp_err act_subscribe(struct sp_lightsdk *sdk, const struct sp_http_request *request,
                            struct sp_lightsdk_ask *ask, struct sp_buf *answer, char *why)
{
    sp_err err = check_service(ask, why);
    if (!err)
        err = keep(sdk, SP_LIGHTSDK_SUBSCRIPTIONS, &ask->subscription, why);
    if (err)
        return err;
    sp_buf_add_c(answer, ",\"serviceName\":");
    sp_buf_add_json(answer, ask->service);
    sp_buf_add_c(answer, ",\"datas\":[]");
    return 0;
}

static sp_err act_unsubscribe(struct sp_lightsdk *sdk, const struct sp_http_request *request,
                              struct sp_lightsdk_ask *ask, struct sp_buf *answer, char *why)
{
    sp_err err = check_service(ask, why);
    if (!err && sp_lightsdk_drop(sdk, SP_LIGHTSDK_SUBSCRIPTIONS, ask))
        tell_change(sdk);
    return err;
}

/* ---- the door ---- */

static void on_application(void *arg, struct sp_http_call *call)
{
    handle(arg, call, act_application);
}

static void on_publish(void *arg, struct sp_http_call *call)
{
    handle(arg, call, act_publish);
}

static void on_unpublish(void *arg, struct sp_http_call *call)
{
    handle(arg, call, act_unpublish);
}

static void on_subscribe(void *arg, struct sp_http_call *call)
{
    handle(arg, call, act_subscribe);
}

static void on_unsubscribe(void *arg, struct sp_http_call *call)
{
    handle(arg, call, act_unsubscribe);
}

static void on_show(void *arg, struct sp_http_call *call)
{
    struct sp_buf out;
    sp_buf_init(&out, 0);
    sp_lightsdk_write_json(arg, &out);
    sp_http_answer_buf(call, 200, JSON_TYPE, &out);
    sp_buf_deinit(&out);
}

static const struct sp_http_route routes[] = {
    { "/configs/application", "POST", on_application },  { "/services/publish", "POST", on_publish },
    { "/services/unpublish", "POST", on_unpublish },     { "/services/subscribe", "POST", on_subscribe },
    { "/services/unsubscribe", "POST", on_unsubscribe }, { "/services", "GET", on_show },
};

static uint16_t guard(void *arg, const struct sp_http_request *request, const char **ret_text)
{
    if (!sp_head_find_name(request->head, SP_STR("origin")))
        return 0;
    *ret_text = "pages in a browser have nothing to say here";
    return 403;
}

struct sp_lightsdk *sp_lightsdk_new(const struct sp_lightsdk_config *config)
{
    struct sp_lightsdk *sdk = sp_mem_zalloc(sizeof(*sdk));
    if (!sdk)
        return NULL;
    sdk->config = *config;
    sp_arena_init(&sdk->scratch, NULL, 0, SCRATCH_BLOCK_BYTES, SCRATCH_BYTES);
    sp_lightsdk_keep_init(sdk);
    sdk->server = sp_http_server_new(config->loop,
                                     &(struct sp_http_config){ .routes = routes,
                                                               .route_count = SP_COUNTOF(routes),
                                                               .arg = sdk,
                                                               .guard = guard,
                                                               .body_bytes = SP_LIGHTSDK_ASK_BYTES });
    if (sdk->server)
        return sdk;
    sp_lightsdk_free(sdk);
    return NULL;
}

struct sp_http_server *sp_lightsdk_server(struct sp_lightsdk *sdk)
{
    return sdk->server;
}

void sp_lightsdk_free(struct sp_lightsdk *sdk)
{
    if (!sdk)
        return;
    if (sdk->server)
        sp_http_server_free(sdk->server);
    sp_lightsdk_keep_deinit(sdk);
    sp_arena_deinit(&sdk->scratch);
    sp_mem_free(sdk);
}
