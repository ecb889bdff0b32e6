/* lightsdk_read: any bytes as the body of a request to the light SDK's door. A body is refused with words, or
 * taken; then what it says is kept, shown as JSON that our own reader takes whole, replaced by itself at no
 * cost, and dropped until nothing is left. */
#include "lightsdk/lightsdk_impl.h"

#include "base/buf.h"
#include "form/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_shown(const struct sp_lightsdk *sdk)
{
    struct sp_buf out;
    struct sp_arena arena;
    struct sp_json json;
    int event;
    sp_buf_init(&out, 0);
    sp_arena_init(&arena, NULL, 0, 4096, 0);
    sp_lightsdk_write_json(sdk, &out);
    SP_ASSERT(!out.failed);
    sp_json_init(&json, &arena, sp_buf_str(&out));
    while ((event = sp_json_next(&json)) > SP_JSON_END)
        ;
    SP_ASSERT(event == SP_JSON_END);
    sp_arena_deinit(&arena);
    sp_buf_deinit(&out);
}

static void keep_and_drop(struct sp_lightsdk *sdk, const struct sp_lightsdk_ask *ask)
{
    SP_ASSERT(!sp_lightsdk_keep(sdk, SP_LIGHTSDK_PUBLICATIONS, &ask->publication));
    SP_ASSERT(!sp_lightsdk_keep(sdk, SP_LIGHTSDK_SUBSCRIPTIONS, &ask->subscription));
    uint64_t kept = sdk->view.kept_bytes;
    check_shown(sdk);
    SP_ASSERT(!sp_lightsdk_keep(sdk, SP_LIGHTSDK_PUBLICATIONS, &ask->publication));
    SP_ASSERT(sdk->view.kept_bytes == kept && sdk->view.publications == 1);
    SP_ASSERT(sp_lightsdk_drop(sdk, SP_LIGHTSDK_PUBLICATIONS, ask) == 1);
    SP_ASSERT(sp_lightsdk_drop(sdk, SP_LIGHTSDK_SUBSCRIPTIONS, ask) == 1);
    SP_ASSERT(sdk->view.kept_bytes == 0);
    SP_ASSERT(!sp_lightsdk_keep(sdk, SP_LIGHTSDK_APPLICATIONS, &ask->application));
    check_shown(sdk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_lightsdk sdk = { .config = { .seed = 1 } };
    struct sp_lightsdk_ask ask;
    char why[SP_LIGHTSDK_WHY_BYTES] = "";
    sp_arena_init(&sdk.scratch, NULL, 0, 4096, 512 * 1024);
    sp_lightsdk_keep_init(&sdk);
    sp_err err = sp_lightsdk_read(&sdk.scratch, sp_str_of(data, size), &ask, why);
    SP_ASSERT(err ? why[0] != 0 : why[0] == 0);
    if (!err)
        keep_and_drop(&sdk, &ask);
    sp_lightsdk_keep_deinit(&sdk);
    sp_arena_deinit(&sdk.scratch);
    return 0;
}
