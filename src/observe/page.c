/* page: a long page, printed from a gather while the client takes it.
 *
 * A page owns the figures that it prints, and keeps its place (stage, row, item) between pieces; so a
 * scrape of a thousand clusters holds the figures, one piece, and what the connection's mark lets wait, and
 * never the whole text. Its step function prints the next thing and says whether there is more:
 *
 *      more() ──► step(page, line) ... until the piece is full ──► SP_HTTP_MORE, or SP_HTTP_END
 *
 * Where a piece ends is known here alone. Steps have filled pieces themselves, and then each page had to
 * think of a border behind every line that it printed: some printed a head twice. So a step gets a buffer
 * that is empty, and cannot tell a border from the middle of a piece.
 *
 * The page is freed when the answer is over, whoever ends it. */
#include "observe/admin_impl.h"

#include "base/mem.h"
#include "model/regex.h"

static enum sp_http_next more(struct sp_http_source *source, struct sp_buf *out)
{
    struct sp_page *page = SP_CONTAINER(source, struct sp_page, source);
    while (out->len < page->admin->piece_bytes && !out->failed) {
        sp_buf_reset(&page->line);
        bool goes_on = page->step(page, &page->line);
        sp_buf_add_str(out, sp_buf_str(&page->line));
        out->failed = out->failed || page->line.failed;
        if (!goes_on)
            return SP_HTTP_END;
    }
    return SP_HTTP_MORE;
}

static void on_end(struct sp_http_source *source, bool whole)
{
    sp_page_free(SP_CONTAINER(source, struct sp_page, source));
}

struct sp_page *sp_page_new(struct sp_admin *admin, struct sp_gather *gather,
                            bool (*step)(struct sp_page *page, struct sp_buf *out))
{
    struct sp_page *page = sp_mem_zalloc(sizeof(*page));
    if (!page) {
        sp_gather_free(gather);
        return NULL;
    }
    page->source.more = more;
    page->source.on_end = on_end;
    page->admin = admin;
    page->gather = gather;
    page->step = step;
    sp_buf_init(&page->line, 0);
    return page;
}

void sp_page_start(struct sp_page *page, struct sp_http_call *call, const char *type)
{
    if (!page)
        sp_http_answer(call, 503, NULL, SP_STR("memory is out\n"));
    else
        sp_http_stream(call, 200, type, &page->source);
}

void sp_page_free(struct sp_page *page)
{
    if (!page)
        return;
    sp_gather_free(page->gather);
    sp_regex_free(page->filter);
    sp_buf_deinit(&page->line);
    sp_mem_free(page);
}
