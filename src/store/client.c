/* client: the caller's end of a store: letters out, answers and batches in, and an orderly end.
 *
 * Everything here runs on the client's own thread, save the two functions at the end of each half that post
 * a letter back, which the store's thread calls. A letter belongs to one thread at a time and the mailbox is
 * the only thing in between:
 *
 *     ask      client ── ask.mail ──> store ── ask.mail ──> client: on_answer, freed
 *     watch    client ── open ──────> store
 *                     <── batch ─────         on_batch
 *                     ── batch ─────>         and only then the next one is cut
 *              client ── close ─────> store   when the batch is at home:
 *                     <── close ─────         freed
 *
 * The batch is the watch's credit: one letter, so one batch under way, whatever the client does. A client
 * that stands still costs the store a pointer into the history and nothing that grows.
 *
 * A client's end waits for what is under way, for letters in the air cannot be called back; meanwhile it is
 * silent. It does not end what it had asked for: an ask that was posted is carried out. */
#include "store/client_impl.h"

#include "base/mem.h"
#include "store/ask_impl.h"

static void on_ending(struct sp_turn *turn);

struct sp_store_client *sp_store_client_new(struct sp_store *store, struct sp_loop *loop)
{
    struct sp_store_client *client = sp_mem_zalloc(sizeof(*client));
    if (!client)
        return NULL;
    client->store = store;
    client->loop = loop;
    client->ending.on_turn_end = on_ending;
    sp_list_init(&client->watches);
    __atomic_fetch_add(&store->clients, 1, __ATOMIC_RELAXED);
    return client;
}

/* At a turn's end, so that on_closed never comes from within a call of the caller. */
static void end_if_quiet(struct sp_store_client *client)
{
    if (client->closing && !client->asks_out && !client->watch_count)
        sp_loop_at_turn_end(client->loop, &client->ending);
}

static void on_ending(struct sp_turn *turn)
{
    struct sp_store_client *client = SP_CONTAINER(turn, struct sp_store_client, ending);
    void (*on_closed)(void *arg) = client->on_closed;
    void *arg = client->arg;
    __atomic_fetch_sub(&client->store->clients, 1, __ATOMIC_RELEASE);
    sp_mem_free(client);
    if (on_closed)
        on_closed(arg);
}

void sp_store_client_close(struct sp_store_client *client, void (*on_closed)(void *arg), void *arg)
{
    SP_ASSERT(!client->closing);
    client->closing = true;
    client->on_closed = on_closed;
    client->arg = arg;
    struct sp_store_watch *watch;
    SP_LIST_EACH(&client->watches, watch, next, struct sp_store_watch, link)
        sp_store_watch_close(watch);
    end_if_quiet(client);
}

void sp_store_free(struct sp_store *store)
{
    if (!store)
        return;
    SP_ASSERT(__atomic_load_n(&store->clients, __ATOMIC_ACQUIRE) == 0);
    store->free(store);
}

/* ---- asks ---- */

static void on_answered(struct sp_mail *mail)
{
    struct sp_store_ask *ask = SP_CONTAINER(mail, struct sp_store_ask, mail);
    struct sp_store_client *client = ask->client;
    ask->answer.err = sp_store_why_err(ask->answer.why);
    if (ask->on_answer && !client->closing)
        ask->on_answer(ask->arg, &ask->answer);
    sp_store_ask_free(ask);
    client->asks_out--;
    end_if_quiet(client);
}

static void on_asked(struct sp_mail *mail)
{
    struct sp_store_ask *ask = SP_CONTAINER(mail, struct sp_store_ask, mail);
    ask->client->store->on_ask(ask->client->store, ask);
}

void sp_store_ask_post(struct sp_store_ask *ask, sp_store_on_answer on_answer, void *arg)
{
    SP_ASSERT(!ask->client->closing);
    ask->on_answer = on_answer;
    ask->arg = arg;
    ask->mail.on_mail = on_asked;
    ask->client->asks_out++;
    sp_mail_post(ask->client->store->loop, &ask->mail);
}

void sp_ask_answer(struct sp_store_ask *ask)
{
    ask->mail.on_mail = on_answered;
    sp_mail_post(ask->client->loop, &ask->mail);
}

/* ---- watches ---- */

static void on_watch_opened(struct sp_mail *mail)
{
    struct sp_store_watch *watch = SP_CONTAINER(mail, struct sp_store_watch, open);
    watch->client->store->on_watch(watch->client->store, watch);
}

static void on_watch_closed(struct sp_mail *mail)
{
    struct sp_store_watch *watch = SP_CONTAINER(mail, struct sp_store_watch, close);
    watch->client->store->on_unwatch(watch->client->store, watch);
}

static void on_batch_back(struct sp_mail *mail)
{
    struct sp_store_watch *watch = SP_CONTAINER(mail, struct sp_store_watch, batch);
    watch->client->store->on_batch_back(watch->client->store, watch);
}

struct sp_store_watch *sp_store_watch_open(struct sp_store_client *client,
                                           const struct sp_store_watch_config *config)
{
    const struct sp_store_span *span = &config->span;
    SP_ASSERT(!client->closing);
    if (client->watch_count >= SP_STORE_WATCHES_MAX || span->from.len > SP_STORE_KEY_MAX ||
        span->to.len > SP_STORE_KEY_MAX)
        return NULL;
    struct sp_store_watch *watch = sp_mem_zalloc(sizeof(*watch) + span->from.len + span->to.len);
    if (!watch)
        return NULL;
    char *bytes = (char *)(watch + 1);
    if (span->from.len)
        memcpy(bytes, span->from.ptr, span->from.len);
    if (span->to.len)
        memcpy(bytes + span->from.len, span->to.ptr, span->to.len);
    watch->config = *config;
    watch->config.span.from.ptr = bytes;
    watch->config.span.to.ptr = bytes + span->from.len;
    watch->client = client;
    sp_list_push(&client->watches, &watch->link);
    client->watch_count++;
    watch->open.on_mail = on_watch_opened;
    sp_mail_post(client->store->loop, &watch->open);
    return watch;
}

void sp_store_watch_close(struct sp_store_watch *watch)
{
    SP_ASSERT(!watch->closing);
    watch->closing = true;
    sp_list_remove(&watch->link);
    watch->close.on_mail = on_watch_closed;
    sp_mail_post(watch->client->store->loop, &watch->close);
}

static void tell(struct sp_store_watch *watch)
{
    const struct sp_store_watch_config *config = &watch->config;
    if (watch->why != SP_STORE_FINE) {
        if (config->on_end)
            config->on_end(config->arg, watch->why, watch->compacted);
        return;
    }
    config->on_batch(config->arg, &(struct sp_store_batch){ .revision = watch->revision,
                                                            .count = watch->count,
                                                            .events = watch->events });
}

static void on_batch(struct sp_mail *mail)
{
    struct sp_store_watch *watch = SP_CONTAINER(mail, struct sp_store_watch, batch);
    if (!watch->closing)
        tell(watch);
    for (uint32_t i = 0; i < watch->count; i++) {
        sp_store_kv_unref(watch->events[i].kv);
        sp_store_kv_unref(watch->events[i].previous);
    }
    watch->count = 0;
    watch->batch.on_mail = on_batch_back;
    sp_mail_post(watch->client->store->loop, &watch->batch);
}

void sp_watch_send(struct sp_store_watch *watch)
{
    watch->out = true;
    watch->batch.on_mail = on_batch;
    sp_mail_post(watch->client->loop, &watch->batch);
}

static void on_watch_gone(struct sp_mail *mail)
{
    struct sp_store_watch *watch = SP_CONTAINER(mail, struct sp_store_watch, close);
    struct sp_store_client *client = watch->client;
    sp_mem_free(watch->events);
    sp_mem_free(watch);
    client->watch_count--;
    end_if_quiet(client);
}

void sp_watch_gone(struct sp_store_watch *watch)
{
    watch->close.on_mail = on_watch_gone;
    sp_mail_post(watch->client->loop, &watch->close);
}
