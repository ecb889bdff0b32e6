/* log: access logs of a chain: where the lines go, and how one looks.
 *
 * A format is read here to its end and thrown away again, so that a slip is told with its line when the
 * configuration is read; whoever writes lines reads the same text by the same reader (model/logformat.h).
 *
 * JSON is flat: each key has one text. Envoy would take numbers, lists and maps in maps as well; a log that
 * is searched by key has no use for them, and the report has nothing nested.
 *
 * Without a format of its own a log gets Envoy's default line. */
#include <stdlib.h>

#include "model/logformat.h"
#include "xds/types/types_impl.h"

enum { LOGS_MAX = 8 }; /* a report has one bit for each */

static const char *near_operator(sp_str text)
{
    const char *names[SP_LOG_OPS];
    size_t count = 0;
    for (int op = SP_LOG_OP_LITERAL + 1; op < SP_LOG_OPS; op++)
        names[count++] = sp_log_op_name((enum sp_log_op)op);
    /* the operators of the text, one by one: the first that nobody knows is meant */
    for (sp_str rest = text; rest.ptr;) {
        sp_str word = sp_str_cut(&rest, '%');
        const char *near = NULL;
        bool known = false;
        for (size_t i = 0; i < count; i++)
            known |= sp_str_eq(word, sp_str_c(names[i]));
        if (!known && sp_str_find(word, ' ') == word.len)
            near = sp_form_did_you_mean(word, names, count);
        if (near)
            return near;
    }
    return NULL;
}

/* The text, copied, when it can be written; else empty, and said. */
static sp_str take_text(struct sp_xds_build *b, const void *msg, uint32_t field, sp_str text)
{
    struct sp_log_part *parts;
    uint32_t count;
    const char *why = "";
    sp_err err = sp_log_format_parse(text, b->doc->arena, &parts, &count, &why);
    if (err == SP_E_NOMEM) {
        b->no_memory = true;
    } else if (err) {
        const char *near = err == SP_E_INVALID ? near_operator(text) : NULL;
        SP_XDS_SAY(b->in, err, msg, field, SP_XDS_NO_ITEM, "%s%s%s%s", why, near ? "; did you mean %" : "",
                   near ? near : "", near ? "%?" : "");
    }
    return err ? SP_STR("") : sp_xds_str(b, text);
}

static int compare_keys(const void *a, const void *b)
{
    const struct sp_log_field *x = a, *y = b;
    return sp_str_cmp(x->key, y->key);
}

static void take_json(struct sp_xds_build *b, const struct sp_pb_google_struct *json, bool sort,
                      struct sp_log_spec *log)
{
    log->format = SP_LOG_JSON;
    if (!json)
        return;
    struct sp_log_field *fields = sp_xds_array(b, json->fields_len, sizeof(*fields));
    for (uint32_t i = 0; fields && i < json->fields_len; i++) {
        const struct sp_pb_google_struct_fields_entry *entry = json->fields[i];
        const struct sp_pb_google_value *value = entry->value;
        fields[i].key = sp_xds_str(b, entry->key);
        if (value && value->kind_case == SP_FIELD_GOOGLE_VALUE_STRING_VALUE)
            fields[i].text = take_text(b, value, 0, value->string_value);
        else
            SP_XDS_REFUSE(b, value ? (const void *)value : json, 0,
                          "a key of a log has one text, such as \"%%RESPONSE_CODE%%\"");
    }
    if (sort && fields)
        qsort(fields, json->fields_len, sizeof(*fields), compare_keys);
    log->fields = fields;
    log->field_count = fields ? json->fields_len : 0;
    if (json->fields_len == 0)
        SP_XDS_WRONG(b, json, 0, "must not be empty");
}

static void take_source(struct sp_xds_build *b, const struct sp_pb_core_data_source *m,
                        struct sp_log_spec *log)
{
    if (m->specifier_case == SP_FIELD_CORE_DATA_SOURCE_INLINE_STRING)
        log->text = take_text(b, m, SP_FIELD_CORE_DATA_SOURCE_INLINE_STRING, m->inline_string);
    else if (m->specifier_case == SP_FIELD_CORE_DATA_SOURCE_INLINE_BYTES)
        log->text = take_text(b, m, SP_FIELD_CORE_DATA_SOURCE_INLINE_BYTES, m->inline_bytes);
    else
        SP_XDS_REFUSE(b, m, m->specifier_case, "is not supported; write the format as inline_string");
}

static void take_format(struct sp_xds_build *b, const struct sp_pb_core_substitution_format_string *m,
                        struct sp_log_spec *log)
{
    if (!m)
        return;
    switch (m->format_case) {
    case SP_FIELD_CORE_SUBSTITUTION_FORMAT_STRING_TEXT_FORMAT:
        log->text = take_text(b, m, SP_FIELD_CORE_SUBSTITUTION_FORMAT_STRING_TEXT_FORMAT, m->text_format);
        break;
    case SP_FIELD_CORE_SUBSTITUTION_FORMAT_STRING_TEXT_FORMAT_SOURCE:
        if (m->text_format_source)
            take_source(b, m->text_format_source, log);
        break;
    case SP_FIELD_CORE_SUBSTITUTION_FORMAT_STRING_JSON_FORMAT:
        take_json(b, m->json_format, m->json_format_options && m->json_format_options->sort_properties, log);
        break;
    default: break; /* said by the schema */
    }
}

static void take_file(struct sp_xds_build *b, const struct sp_pb_filelog_file_access_log *m,
                      struct sp_log_spec *log)
{
    log->path = sp_xds_str(b, m->path);
    switch (m->access_log_format_case) {
    case SP_FIELD_FILELOG_FILE_ACCESS_LOG_FORMAT:
        log->text = take_text(b, m, SP_FIELD_FILELOG_FILE_ACCESS_LOG_FORMAT, m->format);
        break;
    case SP_FIELD_FILELOG_FILE_ACCESS_LOG_JSON_FORMAT: take_json(b, m->json_format, false, log); break;
    case SP_FIELD_FILELOG_FILE_ACCESS_LOG_TYPED_JSON_FORMAT:
        take_json(b, m->typed_json_format, false, log);
        break;
    case SP_FIELD_FILELOG_FILE_ACCESS_LOG_LOG_FORMAT: take_format(b, m->log_format, log); break;
    default: break;
    }
}

static void take_log(struct sp_xds_build *b, const struct sp_pb_accesslog_access_log *m,
                     struct sp_log_spec *log)
{
    log->text = sp_log_format_default;
    void *config = sp_xds_any(b, m, SP_FIELD_ACCESSLOG_ACCESS_LOG_TYPED_CONFIG, m->typed_config);
    if (!config)
        return;
    if (sp_xds_is(config, &sp_pb_filelog_file_access_log_msg)) {
        take_file(b, config, log);
    } else if (sp_xds_is(config, &sp_pb_streamlog_stdout_access_log_msg)) {
        const struct sp_pb_streamlog_stdout_access_log *to = config;
        log->path = SP_STR("/dev/stdout");
        take_format(b, to->log_format, log);
    } else if (sp_xds_is(config, &sp_pb_streamlog_stderr_access_log_msg)) {
        const struct sp_pb_streamlog_stderr_access_log *to = config;
        log->path = SP_STR("/dev/stderr");
        take_format(b, to->log_format, log);
    } else {
        SP_XDS_WRONG(b, m, SP_FIELD_ACCESSLOG_ACCESS_LOG_TYPED_CONFIG,
                     "is no access log; FileAccessLog, StdoutAccessLog and StderrAccessLog are");
    }
}

const struct sp_log_spec *sp_xds_logs(struct sp_xds_build *b, struct sp_pb_accesslog_access_log *const *list,
                                      uint32_t count, uint32_t *ret_count)
{
    *ret_count = 0;
    if (count > LOGS_MAX) {
        SP_XDS_WRONG(b, list[LOGS_MAX], 0, "is the ninth access log of this chain; there may be eight");
        return NULL;
    }
    struct sp_log_spec *logs = sp_xds_array(b, count, sizeof(*logs));
    for (uint32_t i = 0; logs && i < count; i++)
        take_log(b, list[i], &logs[i]);
    *ret_count = logs ? count : 0;
    return logs;
}
