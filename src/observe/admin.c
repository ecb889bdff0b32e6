/* admin: the door itself: which pages there are, who may see them, and its beginning and end.
 *
 * Two addresses. The Unix socket has mode 0600 under the base directory: who can open it is the operator,
 * and may do everything. TCP is on loopback, and loopback belongs to the application too, and to every page
 * that a browser on this machine has open: so there one can look and not touch, and one must have come by
 * an address:
 *
 *      request ──► Host is a number, or localhost? ──► page changes something? ──► page
 *          TCP:    no: 403                              403
 *          Unix:   not asked                            wants POST (405)
 *
 * The rule for Host is against DNS rebinding: a web page whose name suddenly resolves to 127.0.0.1 sends
 * its own name, and is turned away, though the browser takes us for its origin. Whoever scrapes by address,
 * or sends no Host (HTTP/1.0), is not concerned.
 *
 * What stands on a page belongs to others (names, paths, ids), so text goes out as text/plain with nosniff,
 * JSON by JSON's rules, and the one HTML page, the index, is escaped and made of our own words. */
#include "observe/admin.h"

#include "base/mem.h"
#include "io/sock.h"
#include "observe/accesslog.h"
#include "observe/admin_impl.h"
#include "observe/text_impl.h"

static void index_page(void *arg, struct sp_http_call *call);
static void help_page(void *arg, struct sp_http_call *call);

struct page {
    const char *path, *methods;
    void (*handle)(void *arg, struct sp_http_call *call);
    bool changes; /* POST on the Unix socket alone */
    const char *text;
};

static const struct page pages[] = {
    { "/", "GET", index_page, false, "this list" },
    { "/certs", "GET", sp_admin_certs, false, "certificates in use" },
    { "/clusters", "GET", sp_admin_clusters, false, "clusters and their endpoints; ?format=json" },
    { "/config_dump", "GET", sp_admin_config_dump, false, "configuration as it was understood" },
    { "/drain_listeners", "POST", sp_admin_drain_listeners, true, "stop accepting; ?inboundonly, ?graceful" },
    { "/help", "GET", help_page, false, "this list as text" },
    { "/lightsdk", "GET", sp_admin_lightsdk_page, false, "what applications told the light SDK's door" },
    { "/listeners", "GET", sp_admin_listeners, false, "addresses that calls come in by; ?format=json" },
    { "/logging", "GET, POST", sp_admin_logging, false, "log level; POST ?level=debug changes it" },
    { "/memory", "GET", sp_admin_memory, false, "memory in use" },
    { "/quitquitquit", "POST", sp_admin_quit, true, "drain and end" },
    { "/ready", "GET", sp_admin_ready, false, "200 while calls are taken, else 503" },
    { "/reset_counters", "POST", sp_admin_reset_counters, true, "let counters begin at zero" },
    { "/runtime", "GET", sp_admin_runtime, false, "what can be changed while it runs" },
    { "/runtime_modify", "POST", sp_admin_runtime_modify, true, "change it: ?key=value" },
    { "/server_info", "GET", sp_admin_server_info, false, "version, state, options" },
    { "/stats", "GET", sp_admin_stats, false, "figures; ?filter=regex, ?usedonly, ?format=json" },
    { "/stats/prometheus", "GET", sp_admin_prometheus, false, "figures for Prometheus" },
    { "/why", "GET", sp_admin_why, false, "what became of a call: ?id= of the request or trace" },
};

struct routes {
    struct sp_admin admin;
    struct sp_http_route table[SP_COUNTOF(pages)];
};

/* ---- who may ---- */

/* 127.0.0.1, [::1]:15000, localhost:15000. */
static bool is_local_name(sp_str host)
{
    size_t end = host.len;
    if (host.len && host.ptr[0] == '[')
        end = SP_MIN(sp_str_find(host, ']') + 1, host.len);
    else
        end = sp_str_find(host, ':');
    sp_str name = sp_str_upto(host, end);
    sp_addr addr;
    return !host.len || sp_str_eq_nocase(name, SP_STR("localhost")) || sp_addr_parse_ip(name, 0, &addr) == 0;
}

static const struct page *page_of(const struct sp_http_request *request)
{
    for (size_t i = 0; i < SP_COUNTOF(pages); i++)
        if (sp_str_eq(sp_str_c(pages[i].path), request->path))
            return &pages[i];
    return NULL;
}

static uint16_t guard(void *arg, const struct sp_http_request *request, const char **ret_text)
{
    const struct page *page = page_of(request);
    bool reads = sp_str_eq(request->method, SP_STR("GET")) || sp_str_eq(request->method, SP_STR("HEAD"));
    if (request->is_unix)
        return 0;
    if (!is_local_name(request->host)) {
        *ret_text = "Host must be an address or localhost: see docs/admin.md";
        return 403;
    }
    if (page && (page->changes || !reads)) {
        *ret_text = "what changes something works on the Unix socket alone: see docs/admin.md";
        return 403;
    }
    return 0;
}

/* ---- lists ---- */

static void index_page(void *arg, struct sp_http_call *call)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 0);
    sp_buf_add_c(
        &buf,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sampan</title></head>\n"
        "<body><h1>sampan-proxy " SP_VERSION "</h1>\n<table>\n");
    for (size_t i = 0; i < SP_COUNTOF(pages); i++) {
        sp_buf_add_c(&buf, "<tr><td>");
        if (!pages[i].changes)
            sp_buf_printf(&buf, "<a href=\"%s\">%s</a>", pages[i].path, pages[i].path);
        else
            sp_buf_printf(&buf, "%s (POST, Unix socket)", pages[i].path);
        sp_buf_add_c(&buf, "</td><td>");
        sp_text_html(&buf, sp_str_c(pages[i].text));
        sp_buf_add_c(&buf, "</td></tr>\n");
    }
    sp_buf_add_c(&buf, "</table></body></html>\n");
    sp_http_header(call, "Content-Security-Policy", SP_STR("default-src 'none'"));
    sp_http_answer_buf(call, 200, "text/html; charset=utf-8", &buf);
}

static void help_page(void *arg, struct sp_http_call *call)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 0);
    sp_buf_add_c(&buf, "admin pages:\n");
    for (size_t i = 0; i < SP_COUNTOF(pages); i++)
        sp_buf_printf(&buf, "  %s: %s%s\n", pages[i].path, pages[i].text,
                      pages[i].changes ? " (POST, Unix socket)" : "");
    sp_http_answer_buf(call, 200, NULL, &buf);
}

/* ---- beginning and end ---- */

static sp_err listen_at(struct sp_admin *admin, const struct sp_listen_config *where, int handed)
{
    char text[SP_ADDR_TEXT_BYTES];
    sp_err err = handed >= 0 ? sp_http_server_adopt(admin->server, handed)
                             : sp_http_server_listen(admin->server, where);
    sp_addr_print(&where->addr, text, sizeof(text));
    if (err)
        sp_log_line(admin->config.log, SP_LOG_ERROR, "admin cannot listen", "address=%s reason=\"%s\"", text,
                    err == SP_E_EXISTS ? "another process listens there" : sp_err_str(err));
    return err;
}

static sp_err open_doors(struct sp_admin *admin)
{
    const struct sp_admin_config *config = &admin->config;
    sp_err err = 0, unix_err = SP_E_MISSING;
    int handed_unix = config->has_handed ? config->handed_unix : -1;
    int handed_tcp = config->has_handed ? config->handed_tcp : -1;
    if (config->unix_path) {
        const struct sp_listen_config at = { .addr = { .family = SP_ADDR_UNIX, .path = config->unix_path },
                                             .mode = 0600 };
        /* an old process may still drain there: TCP is worth having alone */
        unix_err = listen_at(admin, &at, handed_unix);
    }
    admin->has_unix = !unix_err;
    if (config->tcp.family != SP_ADDR_NONE) {
        const struct sp_listen_config at = { .addr = config->tcp, .backlog = 128 };
        err = listen_at(admin, &at, handed_tcp);
        if (!err)
            admin->tcp_door = unix_err ? 0 : 1;
    }
    return err;
}

struct sp_admin *sp_admin_new(struct sp_loop *loop, const struct sp_admin_config *config,
                              const char **ret_why)
{
    struct routes *routes = sp_mem_zalloc(sizeof(*routes));
    *ret_why = sp_err_str(SP_E_NOMEM);
    if (!routes)
        return NULL;
    struct sp_admin *admin = &routes->admin;
    admin->loop = loop;
    admin->config = *config;
    admin->tcp_door = -1;
    admin->piece_bytes = SP_PAGE_PIECE;
    admin->started_ns = sp_loop_now(loop);
    admin->started_wall_ns = sp_loop_wall(loop);
    sp_list_init(&admin->asks);
    sp_runtime_init(&admin->runtime, config->settings, config->log ? config->log->level : SP_LOG_INFO);
    for (size_t i = 0; i < SP_COUNTOF(pages); i++)
        routes->table[i] = (struct sp_http_route){ pages[i].path, pages[i].methods, pages[i].handle };
    const struct sp_http_config http = { .routes = routes->table,
                                         .route_count = SP_COUNTOF(pages),
                                         .arg = admin,
                                         .guard = guard,
                                         .body_bytes = 64 * 1024 };
    admin->server = sp_http_server_new(loop, &http);
    sp_err err = admin->server ? open_doors(admin) : SP_E_NOMEM;
    if (!err)
        return admin;
    *ret_why = sp_err_str(err);
    sp_admin_free(admin);
    return NULL;
}

void sp_admin_free(struct sp_admin *admin)
{
    if (!admin)
        return;
    sp_http_server_free(admin->server); /* every call is told; what still asks workers has lost its client */
    struct sp_ask_all *all;
    SP_LIST_EACH(&admin->asks, all, next, struct sp_ask_all, link) {
        sp_timer_stop(admin->loop, &all->late);
        sp_list_remove(&all->link);
        all->admin = NULL;
        all->call = NULL;
    }
    sp_gather_free(admin->base);
    sp_mem_free(SP_CONTAINER(admin, struct routes, admin));
}

bool sp_admin_has_unix(const struct sp_admin *admin)
{
    return admin->has_unix;
}

int sp_admin_unix_fd(const struct sp_admin *admin)
{
    return admin->has_unix ? sp_http_server_fd(admin->server, 0) : -1;
}

int sp_admin_tcp_fd(const struct sp_admin *admin)
{
    return admin->tcp_door < 0 ? -1 : sp_http_server_fd(admin->server, (uint32_t)admin->tcp_door);
}

sp_err sp_admin_local(const struct sp_admin *admin, sp_addr *ret_addr)
{
    return admin->tcp_door < 0 ? SP_E_MISSING
                               : sp_http_server_local(admin->server, (uint32_t)admin->tcp_door, ret_addr);
}
