/* dump: /config_dump: what the sidecar was told, in Envoy's shape, so that tools which read Envoy's can
 * read it.
 *
 *      {"configs":[
 *         {"@type": ...BootstrapConfigDump, "bootstrap": {the file, as it was understood}},
 *         {"@type": ...ClustersConfigDump,  "static_clusters":  [{"cluster": {...}}]},
 *         {"@type": ...ListenersConfigDump, "static_listeners": [{"listener": {...}}]},
 *         {"@type": ...RoutesConfigDump,    "static_route_configs": [{"route_config": {...}}]}],
 *       "ignored": []}
 *
 * It is printed from the typed value that the reader made, so what is shown is what was understood, not
 * what was written. The schema's tables say where things are: no message is known by its struct here, and a
 * field that is added to the schema shows itself.
 *
 * The page is served on loopback, which the application shares; so values of headers that carry credentials
 * are put out of sight while it is printed, and put back: the value tree is the main thread's alone.
 * `ignored` names what came over xDS, was understood by nobody and is kept; a file has none, since it would
 * have been refused. */
#include "observe/admin_impl.h"

#include "form/form.h"
#include "form/walk.h"
#include "form/write.h"

#define TYPE_PREFIX "type.googleapis.com/"

enum { SCRATCH_BYTES = 64 * 1024 };

struct hidden {
    sp_str *where;
    sp_str was;
};

struct dump {
    struct sp_arena scratch;
    struct sp_buf out;
    struct sp_vec hidden; /* of struct hidden */
    struct sp_vec routes; /* of void *: RouteConfigurations, wherever they stand */
    bool failed;
};

static bool is_secret(sp_str header)
{
    static const char *const names[] = { "authorization", "proxy-authorization", "cookie",
                                         "set-cookie",    "x-api-key",           "x-auth-token" };
    for (size_t i = 0; i < SP_COUNTOF(names); i++)
        if (sp_str_eq_nocase(header, sp_str_c(names[i])))
            return true;
    return false;
}

static void hide(struct dump *dump, void *header)
{
    const struct sp_form_msg *type = ((struct sp_form_head *)header)->type;
    const struct sp_form_field *key = sp_form_field_by_name(type, SP_STR("key")),
                               *value = sp_form_field_by_name(type, SP_STR("value"));
    if (!key || !value || key->kind != SP_FORM_STRING || value->kind != SP_FORM_STRING)
        return;
    sp_str *text = sp_form_at(header, value, 0);
    if (!is_secret(*(const sp_str *)sp_form_at(header, key, 0)) || !text->len)
        return;
    struct hidden *hidden = sp_vec_push(&dump->hidden);
    if (!hidden) {
        dump->failed = true;
        return;
    }
    *hidden = (struct hidden){ text, *text };
    *text = SP_STR("[hidden]");
}

static bool on_field(void *arg, void *msg, const struct sp_form_field *f, uint32_t i)
{
    struct dump *dump = arg;
    void *item = f->kind == SP_FORM_MESSAGE && !(f->flags & SP_FORM_F_MAP) ? sp_form_msg_at(msg, f, i) : NULL;
    const char *name = item ? ((struct sp_form_head *)item)->type->name : "";
    if (strcmp(name, "envoy.config.core.v3.HeaderValue") == 0) {
        hide(dump, item);
    } else if (strcmp(name, "envoy.config.route.v3.RouteConfiguration") == 0) {
        void **slot = sp_vec_push(&dump->routes);
        if (slot)
            *slot = item;
        dump->failed |= !slot;
    }
    return true;
}

static void show_again(struct dump *dump)
{
    for (size_t i = 0; i < dump->hidden.len; i++) {
        const struct hidden *hidden = sp_vec_at(&dump->hidden, i);
        *hidden->where = hidden->was;
    }
}

static void print(struct dump *dump, void *msg)
{
    if (sp_form_write_json(&dump->scratch, msg, 0, &dump->out))
        dump->failed = true;
}

/* The message with its type in front, as an Any shows it. */
static void print_typed(struct dump *dump, void *msg)
{
    struct sp_buf *out = &dump->out;
    sp_buf_printf(out, "{\"@type\":\"%s%s\"", TYPE_PREFIX, ((struct sp_form_head *)msg)->type->name);
    size_t at = out->len;
    print(dump, msg);
    if (dump->failed || out->failed || out->len < at + 2)
        return;
    out->ptr[at] = out->ptr[at + 1] == '}' ? ' ' : ','; /* in place of the message's own brace */
}

static void section(struct dump *dump, const char *type, const char *list)
{
    sp_buf_printf(&dump->out, ",{\"@type\":\"%senvoy.admin.v3.%s\",\"%s\":[", TYPE_PREFIX, type, list);
}

static void items(struct dump *dump, void *resources, const char *field, const char *type, const char *list,
                  const char *key)
{
    const struct sp_form_field *f = resources ? sp_form_field_by_name(
                                                    ((struct sp_form_head *)resources)->type, sp_str_c(field))
                                              : NULL;
    section(dump, type, list);
    for (uint32_t i = 0; f && i < sp_form_len(resources, f); i++) {
        sp_buf_printf(&dump->out, "%s{\"%s\":", i ? "," : "", key);
        print_typed(dump, sp_form_msg_at(resources, f, i));
        sp_buf_add_char(&dump->out, '}');
    }
    sp_buf_add_c(&dump->out, "]}");
}

static void print_all(struct dump *dump, void *bootstrap)
{
    const struct sp_form_field *f = sp_form_field_by_name(((struct sp_form_head *)bootstrap)->type,
                                                          SP_STR("static_resources"));
    void *resources = f && sp_form_has(bootstrap, f) ? sp_form_msg_at(bootstrap, f, 0) : NULL;
    sp_buf_add_c(&dump->out, "{\"configs\":[{\"@type\":\"" TYPE_PREFIX
                             "envoy.admin.v3.BootstrapConfigDump\",\"bootstrap\":");
    print(dump, bootstrap);
    sp_buf_add_char(&dump->out, '}');
    items(dump, resources, "clusters", "ClustersConfigDump", "static_clusters", "cluster");
    items(dump, resources, "listeners", "ListenersConfigDump", "static_listeners", "listener");
    section(dump, "RoutesConfigDump", "static_route_configs");
    for (size_t i = 0; i < dump->routes.len; i++) {
        sp_buf_add_c(&dump->out, i ? ",{\"route_config\":" : "{\"route_config\":");
        print_typed(dump, *(void **)sp_vec_at(&dump->routes, i));
        sp_buf_add_char(&dump->out, '}');
    }
    sp_buf_add_c(&dump->out, "]}],\"ignored\":[]}\n");
}

void sp_admin_config_dump(void *arg, struct sp_http_call *call)
{
    struct sp_admin *admin = arg;
    if (!admin->config.bootstrap) {
        sp_http_answer(call, 200, "application/json", SP_STR("{\"configs\":[],\"ignored\":[]}\n"));
        return;
    }
    struct dump dump = { 0 };
    sp_arena_init(&dump.scratch, NULL, 0, SCRATCH_BYTES, 0);
    sp_buf_init(&dump.out, 0);
    sp_vec_init(&dump.hidden, sizeof(struct hidden));
    sp_vec_init(&dump.routes, sizeof(void *));
    const struct sp_form_visitor visitor = { .arg = &dump, .on_field = on_field };
    sp_form_walk(admin->config.bootstrap, &visitor);
    if (!dump.failed)
        print_all(&dump, admin->config.bootstrap);
    show_again(&dump);
    if (dump.failed)
        dump.out.failed = true;
    sp_http_answer_buf(call, 200, "application/json", &dump.out);
    sp_vec_deinit(&dump.hidden);
    sp_vec_deinit(&dump.routes);
    sp_arena_deinit(&dump.scratch);
}
