/* line_impl: one record becomes one line. */
#ifndef SP_OBSERVE_LINE_IMPL_H
#define SP_OBSERVE_LINE_IMPL_H

#include "model/listener.h"
#include "model/logformat.h"
#include "proxy/report.h"

struct sp_arena;
struct sp_buf;

struct sp_line_field {
    sp_str key; /* JSON */
    const struct sp_log_part *parts;
    uint32_t part_count;
};

/* A format, read. */
struct sp_line_format {
    enum sp_log_format kind;
    struct sp_line_field *fields; /* TEXT: one, without a key */
    uint32_t field_count;
};

/* SP_E_UNSUPPORTED, SP_E_INVALID with words in *ret_why (in `arena`), SP_E_NOMEM. `spec` must outlive the
 * format. */
sp_err sp_line_compile(const struct sp_log_spec *spec, struct sp_arena *arena,
                       struct sp_line_format *ret_format, const char **ret_why) SP_MUST_USE;
/* Appends the line, whole, with its newline. */
void sp_line_write(const struct sp_line_format *format, const struct sp_report *report, sp_str hostname,
                   struct sp_buf *out);
/* What an operator says of a record, unescaped; false when there is nothing (shown as "-" or null).
 * *ret_number: it is a number. */
bool sp_line_value(const struct sp_log_part *part, const struct sp_report *report, sp_str hostname,
                   struct sp_buf *out, bool *ret_number);

/* Envoy's response_code_details of the record; empty where nothing was answered and nothing went wrong. */
sp_str sp_line_details(const struct sp_report *report);

#endif
