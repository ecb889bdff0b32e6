/* info: the pages that need no worker: what this is, whether it is ready, what it holds.
 *
 * They answer at once, however busy the workers are; /ready is what a balancer or kubelet asks, so it must
 * not depend on anything that can be slow.
 *
 * Shapes are Envoy's, so that tools which read Envoy's pages find their fields; what has no meaning here has
 * its neutral value (hot_restart_version, the page heap of another allocator) rather than a made-up one. */
#include "observe/admin_impl.h"

#include "base/mem.h"
#include "io/file.h"
#include "model/settings.h"

static const char *const state_names[] = {
    [SP_ADMIN_STARTING] = "INITIALIZING", [SP_ADMIN_LIVE] = "LIVE", [SP_ADMIN_DRAINING] = "DRAINING"
};

static enum sp_admin_state state_of(const struct sp_admin *admin)
{
    return admin->config.ops->state(admin->config.arg);
}

void sp_admin_ready(void *arg, struct sp_http_call *call)
{
    enum sp_admin_state state = state_of(arg);
    char text[32];
    struct sp_buf buf;
    sp_buf_init_fixed(&buf, text, sizeof(text));
    sp_buf_printf(&buf, "%s\n", state_names[state]);
    sp_http_answer(call, state == SP_ADMIN_LIVE ? 200 : 503, NULL, sp_buf_str(&buf));
}

static void option(struct sp_buf *buf, const char *name, const char *value)
{
    sp_buf_printf(buf, "\"%s\":", name);
    sp_buf_add_json(buf, sp_str_c(value ? value : ""));
    sp_buf_add_char(buf, ',');
}

void sp_admin_server_info(void *arg, struct sp_http_call *call)
{
    struct sp_admin *admin = arg;
    const struct sp_admin_config *config = &admin->config;
    static const struct sp_settings none;
    const struct sp_settings *settings = config->settings ? config->settings : &none;
    sp_ns up_ns = sp_loop_now(admin->loop) - admin->started_ns;
    struct sp_buf buf;
    sp_buf_init(&buf, 0);
    sp_buf_printf(
        &buf,
        "{\"version\":\"sampan/%s\",\"state\":\"%s\",\"hot_restart_version\":\"sampan.1\","
        "\"uptime_current_epoch\":\"%llus\",\"uptime_all_epochs\":\"%llus\",\"command_line_options\":{",
        SP_VERSION, state_names[state_of(admin)], (unsigned long long)(up_ns / SP_NS_PER_S),
        (unsigned long long)((up_ns + admin->before_ns) / SP_NS_PER_S));
    option(&buf, "config_path", config->config_path);
    option(&buf, "base_dir", config->base_dir);
    option(&buf, "log_level",
           sp_log_level_name((enum sp_log_level)admin->runtime.values[SP_RUNTIME_LOG_LEVEL]));
    sp_buf_printf(&buf, "\"concurrency\":%u},\"node\":{\"id\":", config->workers);
    sp_buf_add_json(&buf, settings->node_id);
    sp_buf_add_c(&buf, ",\"cluster\":");
    sp_buf_add_json(&buf, settings->node_cluster);
    sp_buf_add_c(&buf, "}}\n");
    sp_http_answer_buf(call, 200, "application/json", &buf);
}

void sp_admin_memory(void *arg, struct sp_http_call *call)
{
    char text[512];
    struct sp_buf buf;
    unsigned long long rss = sp_proc_rss_bytes(), used = sp_mem_used_bytes();
    sp_buf_init_fixed(&buf, text, sizeof(text));
    sp_buf_printf(
        &buf,
        "{\"allocated\":\"%llu\",\"heap_size\":\"%llu\",\"pageheap_unmapped\":\"0\",\"pageheap_free\":\"0\","
        "\"total_thread_cache\":\"0\",\"total_physical_bytes\":\"%llu\",\"live_blocks\":\"%llu\"}\n",
        used, rss, rss, (unsigned long long)sp_mem_live_blocks());
    sp_http_answer(call, 200, "application/json", sp_buf_str(&buf));
}

bool sp_admin_lightsdk(const struct sp_admin *admin, struct sp_admin_lightsdk *ret_figures)
{
    const struct sp_admin_config *config = &admin->config;
    return config->ops->lightsdk && config->ops->lightsdk(config->arg, ret_figures, NULL);
}

void sp_admin_lightsdk_page(void *arg, struct sp_http_call *call)
{
    const struct sp_admin_config *config = &((struct sp_admin *)arg)->config;
    struct sp_admin_lightsdk figures;
    struct sp_buf buf;
    sp_buf_init(&buf, 0);
    if (!config->ops->lightsdk)
        sp_http_answer(call, 501, NULL, SP_STR("this program has no door for light SDKs\n"));
    else if (!config->ops->lightsdk(config->arg, &figures, &buf))
        sp_http_answer(call, 404, NULL,
                       SP_STR("the bootstrap asks for no door for light SDKs: see docs/lightsdk.md\n"));
    else
        sp_http_answer_buf(call, 200, "application/json", &buf);
    sp_buf_deinit(&buf);
}

void sp_admin_certs(void *arg, struct sp_http_call *call)
{
    sp_http_answer(call, 200, "application/json", SP_STR("{\"certificates\":[]}\n"));
}
