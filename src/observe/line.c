/* line: a record of a call becomes a line of a log.
 *
 * The format was read when the configuration came (model/logformat), so writing is a walk over its parts,
 * each a literal or an operator. Text lines end where their format ends; Envoy's formats end in a newline
 * by themselves, and one is added where it is missing, since two calls on one line help nobody.
 *
 * What a peer sent must not be able to write a line, or a field, of its own. In text every control byte,
 * quote, backslash and malformed UTF-8 of a value is written as \xNN, as other servers do; in JSON the JSON
 * rules do the same. The operator's own literals stay as they are.
 *
 * JSON: a field that is one operator keeps its kind, so that a status is a number and what is missing is
 * null; a field of several parts is a string. */
#include "observe/line_impl.h"

#include "base/arena.h"
#include "base/buf.h"
#include "observe/text_impl.h"
#include "proxy/view.h"
#include "wire/call.h"

enum { VALUE_BYTES = 4096 };

sp_err sp_line_compile(const struct sp_log_spec *spec, struct sp_arena *arena,
                       struct sp_line_format *ret_format, const char **ret_why)
{
    bool json = spec->format == SP_LOG_JSON;
    struct sp_line_format format = { .kind = spec->format, .field_count = json ? spec->field_count : 1 };
    format.fields = sp_arena_array(arena, format.field_count, sizeof(*format.fields));
    *ret_why = sp_err_str(SP_E_NOMEM);
    if (!format.fields)
        return SP_E_NOMEM;
    for (uint32_t i = 0; i < format.field_count; i++) {
        struct sp_log_part *parts;
        sp_str text = json ? spec->fields[i].text : spec->text.len ? spec->text : sp_log_format_default;
        sp_err err = sp_log_format_parse(text, arena, &parts, &format.fields[i].part_count, ret_why);
        if (err)
            return err;
        format.fields[i].parts = parts;
        format.fields[i].key = json ? spec->fields[i].key : SP_STR_NULL;
    }
    *ret_format = format;
    return 0;
}

/* ---- values ---- */

static void add_padded(struct sp_buf *out, unsigned value, int digits)
{
    sp_buf_printf(out, "%0*u", digits, value);
}

/* One letter of strftime's; `at` stands behind the '%'. Returns how many bytes it took. */
static size_t add_date(struct sp_buf *out, sp_str at, const struct sp_text_date *d, uint64_t wall_ns)
{
    switch (at.ptr[0]) {
    case 'Y': sp_buf_printf(out, "%04d", d->year); return 1;
    case 'm': add_padded(out, d->month, 2); return 1;
    case 'd': add_padded(out, d->day, 2); return 1;
    case 'H': add_padded(out, d->hour, 2); return 1;
    case 'M': add_padded(out, d->minute, 2); return 1;
    case 'S': add_padded(out, d->second, 2); return 1;
    case 'F': sp_buf_printf(out, "%04d-%02u-%02u", d->year, d->month, d->day); return 1;
    case 'T': sp_buf_printf(out, "%02u:%02u:%02u", d->hour, d->minute, d->second); return 1;
    case 's': sp_buf_add_u64(out, wall_ns / 1000000000u); return 1;
    case 'z': sp_buf_add_c(out, "+0000"); return 1;
    case 'f': add_padded(out, d->nanos, 9); return 1;
    case '%': sp_buf_add_char(out, '%'); return 1;
    default: break;
    }
    if (at.len >= 2 && at.ptr[1] == 'f') {
        if (at.ptr[0] == '3')
            add_padded(out, d->nanos / 1000000, 3);
        else if (at.ptr[0] == '6')
            add_padded(out, d->nanos / 1000, 6);
        else
            add_padded(out, d->nanos, 9);
        return 2;
    }
    sp_buf_add_char(out, '%'); /* the reader of formats lets none through */
    return 0;
}

static void add_time(struct sp_buf *out, sp_str format, uint64_t wall_ns)
{
    if (!format.len) {
        sp_text_time(out, wall_ns);
        return;
    }
    struct sp_text_date d = sp_text_date(wall_ns);
    for (size_t i = 0; i < format.len; i++) {
        if (format.ptr[i] == '%' && i + 1 < format.len)
            i += add_date(out, sp_str_from(format, i + 1), &d, wall_ns);
        else
            sp_buf_add_char(out, format.ptr[i]);
    }
}

static sp_str header_of(enum sp_log_header header, const struct sp_report *r)
{
    switch (header) {
    case SP_LOG_HEADER_NONE: return SP_STR_NULL;
    case SP_LOG_HEADER_METHOD: return sp_report_str(r, SP_REPORT_METHOD);
    case SP_LOG_HEADER_PATH: return sp_report_str(r, SP_REPORT_PATH);
    case SP_LOG_HEADER_AUTHORITY: return sp_report_str(r, SP_REPORT_SERVICE);
    case SP_LOG_HEADER_USER_AGENT: return sp_report_str(r, SP_REPORT_USER_AGENT);
    case SP_LOG_HEADER_REQUEST_ID: return sp_report_str(r, SP_REPORT_REQUEST_ID);
    case SP_LOG_HEADER_FORWARDED_FOR: return sp_report_str(r, SP_REPORT_FORWARDED_FOR);
    }
    return SP_STR_NULL;
}

static bool add_addr(struct sp_buf *out, const sp_addr *addr, bool with_port)
{
    char text[SP_ADDR_TEXT_BYTES];
    if (addr->family == SP_ADDR_NONE)
        return false;
    size_t len = with_port ? sp_addr_print(addr, text, sizeof(text))
                           : sp_addr_print_ip(addr, text, sizeof(text));
    sp_buf_add(out, text, SP_MIN(len, sizeof(text) - 1));
    return true;
}

static bool add_text(struct sp_buf *out, sp_str text)
{
    sp_buf_add_str(out, text);
    return text.len > 0;
}

static bool add_ms(struct sp_buf *out, uint64_t ns)
{
    sp_buf_add_u64(out, ns / 1000000);
    return true;
}

/* A request that could not be read has no method, and what it has for a version was not read either. */
static bool add_protocol(struct sp_buf *out, const struct sp_report *r)
{
    if (r->protocol == SP_PROTO_NONE || (r->protocol == SP_PROTO_HTTP1 && !r->len[SP_REPORT_METHOD]))
        return false;
    if (r->protocol == SP_PROTO_HTTP1)
        sp_buf_printf(out, "HTTP/1.%u", r->proto_minor);
    else
        sp_buf_add_c(out, sp_protocol_name(r->protocol));
    return true;
}

/* The endpoint's share: from the request's end, where it came wholly before the answer began. */
static bool add_service_time(struct sp_buf *out, const struct sp_report *r)
{
    uint64_t begun = r->request_ns && r->request_ns < r->upstream_ns ? r->request_ns : 0;
    return r->upstream_ns && add_ms(out, r->upstream_ns - begun);
}

static bool is_number(enum sp_log_op op)
{
    switch (op) {
    case SP_LOG_OP_RESPONSE_CODE:
    case SP_LOG_OP_BYTES_RECEIVED:
    case SP_LOG_OP_BYTES_SENT:
    case SP_LOG_OP_DURATION:
    case SP_LOG_OP_REQUEST_DURATION:
    case SP_LOG_OP_RESPONSE_DURATION:
    case SP_LOG_OP_UPSTREAM_SERVICE_TIME:
    case SP_LOG_OP_ATTEMPTS: return true;
    default: return false;
    }
}

/* The table's words are of calls that had no answer yet. An answer of our own has the reason's status and no
 * raw one. */
sp_str sp_line_details(const struct sp_report *r)
{
    enum sp_why why = r->why < SP_WHY_COUNT ? (enum sp_why)r->why : SP_WHY_NONE;
    bool begun = r->upstream_ns && (r->raw_status || r->status != sp_why_row(why)->status);
    if (begun && (why == SP_WHY_UPSTREAM_RESET || why == SP_WHY_UPSTREAM_CLOSED))
        return SP_STR("upstream_reset_after_response_started{connection_termination}");
    if (begun && why == SP_WHY_UPSTREAM_PROTOCOL)
        return SP_STR("upstream_reset_after_response_started{protocol_error}");
    return r->status || why ? sp_str_c(sp_why_row(why)->detail) : SP_STR_NULL;
}

bool sp_line_value(const struct sp_log_part *part, const struct sp_report *r, sp_str hostname,
                   struct sp_buf *out, bool *ret_number)
{
    const struct sp_why_row *why = sp_why_row(r->why < SP_WHY_COUNT ? r->why : SP_WHY_NONE);
    *ret_number = is_number(part->op);
    switch (part->op) {
    case SP_LOG_OP_LITERAL: return add_text(out, part->text);
    case SP_LOG_OP_START_TIME: add_time(out, part->text, r->wall_start_ns); return true;
    case SP_LOG_OP_REQ:
        return add_text(out, header_of(part->header, r)) || add_text(out, header_of(part->or_header, r));
    case SP_LOG_OP_RESP: return false;
    case SP_LOG_OP_RESPONSE_CODE: sp_buf_add_u64(out, r->status); return true;
    case SP_LOG_OP_RESPONSE_FLAGS: return strcmp(why->flag, "-") != 0 && add_text(out, sp_str_c(why->flag));
    case SP_LOG_OP_RESPONSE_CODE_DETAILS: return add_text(out, sp_line_details(r));
    case SP_LOG_OP_PROTOCOL: return add_protocol(out, r);
    case SP_LOG_OP_BYTES_RECEIVED: sp_buf_add_u64(out, r->bytes_received); return true;
    case SP_LOG_OP_BYTES_SENT: sp_buf_add_u64(out, r->bytes_sent); return true;
    case SP_LOG_OP_DURATION: return add_ms(out, r->duration_ns);
    case SP_LOG_OP_REQUEST_DURATION: return r->request_ns && add_ms(out, r->request_ns);
    case SP_LOG_OP_RESPONSE_DURATION: return r->upstream_ns && add_ms(out, r->upstream_ns);
    case SP_LOG_OP_UPSTREAM_SERVICE_TIME: return add_service_time(out, r);
    case SP_LOG_OP_UPSTREAM_HOST: return add_addr(out, &r->upstream, true);
    case SP_LOG_OP_UPSTREAM_CLUSTER: return add_text(out, sp_report_str(r, SP_REPORT_CLUSTER));
    case SP_LOG_OP_UPSTREAM_LOCAL_ADDRESS: return add_addr(out, &r->upstream_local, true);
    case SP_LOG_OP_UPSTREAM_TRANSPORT_FAILURE_REASON:
        return add_text(out, sp_report_str(r, SP_REPORT_FAILURE));
    case SP_LOG_OP_DOWNSTREAM_REMOTE_ADDRESS: return add_addr(out, &r->downstream, true);
    case SP_LOG_OP_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: return add_addr(out, &r->downstream, false);
    case SP_LOG_OP_DOWNSTREAM_DIRECT_REMOTE_ADDRESS: return add_addr(out, &r->downstream_direct, true);
    case SP_LOG_OP_DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT:
        return add_addr(out, &r->downstream_direct, false);
    case SP_LOG_OP_DOWNSTREAM_LOCAL_ADDRESS: return add_addr(out, &r->downstream_local, true);
    case SP_LOG_OP_ROUTE_NAME: return add_text(out, sp_report_str(r, SP_REPORT_ROUTE));
    case SP_LOG_OP_HOSTNAME: return add_text(out, hostname);
    case SP_LOG_OP_TRACE_ID: return add_text(out, sp_report_str(r, SP_REPORT_TRACE_ID));
    case SP_LOG_OP_SAMPAN_REASON: return r->why && add_text(out, sp_str_c(why->code));
    case SP_LOG_OP_SERVICE: return add_text(out, sp_report_str(r, SP_REPORT_SERVICE));
    case SP_LOG_OP_METHOD: return add_text(out, sp_report_str(r, SP_REPORT_METHOD));
    case SP_LOG_OP_ATTEMPTS: sp_buf_add_u64(out, r->attempts); return true;
    case SP_LOG_OPS: break;
    }
    return false;
}

/* ---- lines ---- */

/* Bytes that could end a field or a line. */
static void add_escaped(struct sp_buf *out, sp_str s)
{
    for (size_t i = 0; i < s.len;) {
        unsigned char c = (unsigned char)s.ptr[i];
        size_t len = sp_str_utf8_at(sp_str_from(s, i));
        bool wide_control = len == 2 && c == 0xC2 &&
                            (unsigned char)s.ptr[i + 1] < 0xA0; /* C1: U+0080 to U+009F */
        if (len == 0 || c < 0x20 || c == 0x7F || c == '"' || c == '\\' || wide_control) {
            size_t bytes = len ? len : 1;
            for (size_t b = 0; b < bytes; b++) {
                sp_buf_add_c(out, "\\x");
                sp_buf_add_hex(out, (unsigned char)s.ptr[i + b], 2);
            }
            i += bytes;
        } else {
            sp_buf_add(out, s.ptr + i, len);
            i += len;
        }
    }
}

static void write_text(const struct sp_line_field *field, const struct sp_report *report, sp_str hostname,
                       struct sp_buf *out)
{
    char storage[VALUE_BYTES];
    size_t from = out->len;
    for (uint32_t i = 0; i < field->part_count; i++) {
        const struct sp_log_part *part = &field->parts[i];
        struct sp_buf value;
        bool number;
        if (part->op == SP_LOG_OP_LITERAL) {
            sp_buf_add_str(out, part->text);
            continue;
        }
        sp_buf_init_fixed(&value, storage, sizeof(storage));
        bool there = sp_line_value(part, report, hostname, &value, &number);
        sp_str text = there ? sp_buf_str(&value) : SP_STR("-");
        add_escaped(out, part->max_bytes ? sp_str_upto(text, part->max_bytes) : text);
    }
    if (out->len == from || out->ptr[out->len - 1] != '\n')
        sp_buf_add_char(out, '\n');
}

static void write_json_value(const struct sp_line_field *field, const struct sp_report *report,
                             sp_str hostname, struct sp_buf *out)
{
    char storage[VALUE_BYTES];
    struct sp_buf all;
    sp_buf_init_fixed(&all, storage, sizeof(storage));
    bool single = field->part_count == 1, number = false;
    for (uint32_t i = 0; i < field->part_count; i++) {
        const struct sp_log_part *part = &field->parts[i];
        size_t from = all.len;
        bool there = sp_line_value(part, report, hostname, &all, &number);
        if (single && !there) {
            sp_buf_add_c(out, "null");
            return;
        }
        if (!there && part->op != SP_LOG_OP_LITERAL)
            sp_buf_add_char(&all, '-');
        else if (part->max_bytes && all.len - from > part->max_bytes && part->op != SP_LOG_OP_LITERAL)
            all.len = from + part->max_bytes;
    }
    if (single && number)
        sp_buf_add_str(out, sp_buf_str(&all));
    else
        sp_buf_add_json(out, sp_buf_str(&all));
}

void sp_line_write(const struct sp_line_format *format, const struct sp_report *report, sp_str hostname,
                   struct sp_buf *out)
{
    if (format->kind == SP_LOG_TEXT) {
        write_text(&format->fields[0], report, hostname, out);
        return;
    }
    for (uint32_t i = 0; i < format->field_count; i++) {
        sp_buf_add_char(out, i ? ',' : '{');
        sp_buf_add_json(out, format->fields[i].key);
        sp_buf_add_char(out, ':');
        write_json_value(&format->fields[i], report, hostname, out);
    }
    sp_buf_add_c(out, format->field_count ? "}\n" : "{}\n");
}
