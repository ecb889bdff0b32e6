/* JSON: a pull reader, and its events hung into the tree.
 *
 * The reader is a small machine over the whole text. What may come next is its state; the stack is one bit
 * for each open container, since only that decides what a comma or a bracket means.
 *
 *      VALUE --scalar--> AFTER --,--> (in a list) VALUE, (in a map) KEY
 *        |                 |
 *        +--[ --> ITEM_OR_END     ITEM_OR_END = VALUE or ]
 *        +--{ --> KEY_OR_END      KEY_OR_END  = a string and a colon, or }
 *                          +--] or }, depth 0, end of text --> DONE
 *
 * It writes no number: "1e400" and 20 digits are the business of the field that they stand for. Lines and
 * columns are counted forward from the last event, so a document in one long line costs no more than one
 * with many.
 *
 * cJSON and others were passed by (DEPENDENCIES of the design): no positions, every number a double. */
#include "form/json.h"

#include <string.h>

#include "base/arena.h"
#include "form/form_impl.h"

enum json_state { VALUE, ITEM_OR_END, KEY_OR_END, KEY, AFTER, DONE, BROKEN };

void sp_json_init(struct sp_json *j, struct sp_arena *arena, sp_str text)
{
    memset(j, 0, sizeof(*j));
    j->arena = arena;
    j->text = text;
    j->line = 1;
    j->column = 1;
    j->state = VALUE;
}

static void count_to(struct sp_json *j, size_t at)
{
    for (; j->counted < at; j->counted++) {
        unsigned char c = (unsigned char)j->text.ptr[j->counted];
        if (c == '\n') {
            j->line++;
            j->column = 1;
        } else if ((c & 0xc0) != 0x80) { /* not a later byte of a character */
            j->column++;
        }
    }
}

static int fail_at(struct sp_json *j, size_t at, sp_err err, const char *problem)
{
    count_to(j, at);
    j->problem = problem;
    j->state = BROKEN;
    return err;
}

static int fail(struct sp_json *j, const char *problem)
{
    return fail_at(j, j->at, SP_E_INVALID, problem);
}

static char peek(const struct sp_json *j)
{
    return j->at < j->text.len ? j->text.ptr[j->at] : '\0';
}

static void skip_blanks(struct sp_json *j)
{
    while (j->at < j->text.len) {
        char c = j->text.ptr[j->at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
        j->at++;
    }
}

static int take_word(struct sp_json *j, sp_str word, enum sp_json_event event)
{
    if (!sp_str_starts(sp_str_from(j->text, j->at), word))
        return fail(j, "a value should stand here");
    j->at += word.len;
    j->state = AFTER;
    return event;
}

static int take_number(struct sp_json *j)
{
    size_t start = j->at;
    while (j->at < j->text.len && memchr("+-.0123456789Ee", j->text.ptr[j->at], 15))
        j->at++;
    j->value = sp_str_of(j->text.ptr + start, j->at - start);
    if (!sp_form_text_is_number(j->value)) {
        j->at = start;
        return fail(j, "this is not a number as JSON writes it");
    }
    j->state = AFTER;
    return SP_JSON_NUMBER;
}

static int hex4(sp_str s, uint32_t *ret_value)
{
    uint64_t value;
    if (s.len < 4 || sp_str_hex_to_u64(sp_str_upto(s, 4), &value))
        return -1;
    *ret_value = (uint32_t)value;
    return 0;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* \uXXXX, or two of them that make one character beyond 16 bits. Returns bytes eaten behind the backslash,
 * 0 when it is none. */
static size_t take_unicode(sp_str s, uint32_t *ret_char)
{
    uint32_t high, low;
    if (hex4(sp_str_from(s, 1), &high))
        return 0;
    if (high < 0xd800 || high > 0xdfff) {
        *ret_char = high;
        return 5;
    }
    if (high > 0xdbff || s.len < 11 || s.ptr[5] != '\\' || s.ptr[6] != 'u' || hex4(sp_str_from(s, 7), &low) ||
        low < 0xdc00 || low > 0xdfff)
        return 0;
    *ret_char = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return 11;
}

/* What stands behind a backslash at s; `*len` grows by what it means. 0 = no escape of JSON. */
static size_t unescape(sp_str s, char *out, size_t *len)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (s.len == 0)
        return 0;
    if (s.ptr[0] == 'u') {
        uint32_t c = 0;
        size_t eaten = take_unicode(s, &c);
        if (eaten)
            *len += put_utf8(out + *len, c);
        return eaten;
    }
    const char *found = memchr(from, s.ptr[0], sizeof(from) - 1);
    if (!found)
        return 0;
    out[(*len)++] = to[found - from];
    return 1;
}

static int decode_string(struct sp_json *j, sp_str raw, size_t start)
{
    char *out = sp_arena_alloc_align(j->arena, raw.len, 1); /* no escape is longer than what it stands for */
    if (!out)
        return fail_at(j, start, SP_E_NOMEM, "out of memory");
    size_t len = 0;
    for (size_t i = 0; i < raw.len;) {
        if (raw.ptr[i] != '\\') {
            out[len++] = raw.ptr[i++];
            continue;
        }
        size_t eaten = unescape(sp_str_from(raw, i + 1), out, &len);
        if (eaten == 0)
            return fail_at(j, start + 1 + i, SP_E_INVALID, "this escape does not exist");
        i += 1 + eaten;
    }
    j->value = sp_str_of(out, len);
    return SP_OK;
}

static int take_string(struct sp_json *j)
{
    size_t start = j->at;
    bool escaped = false;
    for (j->at++; peek(j) != '"'; j->at++) {
        if (j->at >= j->text.len)
            return fail_at(j, start, SP_E_INVALID, "the string has no end");
        if ((unsigned char)peek(j) < 0x20)
            return fail(j, "a control character must be escaped");
        if (peek(j) == '\\') {
            escaped = true;
            j->at++;
        }
    }
    sp_str raw = sp_str_of(j->text.ptr + start + 1, j->at - start - 1);
    j->at++;
    if (!sp_str_is_utf8(raw))
        return fail_at(j, start, SP_E_INVALID, "the string is not UTF-8");
    j->value = raw;
    return escaped ? decode_string(j, raw, start) : SP_OK;
}

static int open_container(struct sp_json *j, bool is_map)
{
    if (j->depth >= SP_FORM_DEPTH_MAX)
        return fail_at(j, j->at, SP_E_LIMIT, "nested too deep");
    j->at++;
    j->is_map[j->depth++] = is_map;
    j->state = is_map ? KEY_OR_END : ITEM_OR_END;
    return is_map ? SP_JSON_MAP : SP_JSON_LIST;
}

static int close_container(struct sp_json *j)
{
    j->at++;
    bool is_map = j->is_map[--j->depth];
    j->state = AFTER;
    return is_map ? SP_JSON_MAP_END : SP_JSON_LIST_END;
}

static int take_value(struct sp_json *j)
{
    switch (peek(j)) {
    case '{': return open_container(j, true);
    case '[': return open_container(j, false);
    case '"': {
        int err = take_string(j);
        if (err)
            return err;
        j->state = AFTER;
        return SP_JSON_STRING;
    }
    case 't': return take_word(j, SP_STR("true"), SP_JSON_TRUE);
    case 'f': return take_word(j, SP_STR("false"), SP_JSON_FALSE);
    case 'n': return take_word(j, SP_STR("null"), SP_JSON_NULL);
    case '-': return take_number(j);
    default: return peek(j) >= '0' && peek(j) <= '9' ? take_number(j) : fail(j, "a value should stand here");
    }
}

static int take_key(struct sp_json *j)
{
    if (peek(j) != '"')
        return fail(j, "a key in quotes should stand here");
    int err = take_string(j);
    if (err)
        return err;
    skip_blanks(j);
    if (peek(j) != ':')
        return fail(j, "a colon should stand here");
    j->at++;
    j->state = VALUE;
    return SP_JSON_KEY;
}

static int take_after(struct sp_json *j)
{
    if (j->depth == 0) {
        if (j->at < j->text.len)
            return fail(j, "something stands behind the end");
        j->state = DONE;
        return SP_JSON_END;
    }
    bool is_map = j->is_map[j->depth - 1];
    if (peek(j) == (is_map ? '}' : ']'))
        return close_container(j);
    if (peek(j) != ',')
        return fail(j, is_map ? "a comma or } should stand here" : "a comma or ] should stand here");
    j->at++;
    skip_blanks(j);
    count_to(j, j->at);
    j->state = is_map ? KEY : VALUE;
    return is_map ? take_key(j) : take_value(j);
}

int sp_json_next(struct sp_json *j)
{
    skip_blanks(j);
    count_to(j, j->at);
    switch ((enum json_state)j->state) {
    case VALUE: return take_value(j);
    case ITEM_OR_END: return peek(j) == ']' ? close_container(j) : take_value(j);
    case KEY_OR_END: return peek(j) == '}' ? close_container(j) : take_key(j);
    case KEY: return take_key(j);
    case AFTER: return take_after(j);
    case DONE: return SP_JSON_END;
    case BROKEN: break;
    }
    return SP_E_INVALID;
}

static sp_err on_event(struct sp_form_tree *t, const struct sp_json *j, enum sp_json_event event)
{
    switch (event) {
    case SP_JSON_MAP: return sp_form_tree_open(t, SP_NODE_MAP, j->line, j->column, NULL);
    case SP_JSON_LIST: return sp_form_tree_open(t, SP_NODE_LIST, j->line, j->column, NULL);
    case SP_JSON_MAP_END:
    case SP_JSON_LIST_END: return sp_form_tree_close(t);
    case SP_JSON_KEY: return sp_form_tree_key(t, j->value, j->line, j->column);
    case SP_JSON_STRING: return sp_form_tree_scalar(t, SP_NODE_STRING, j->value, j->line, j->column, NULL);
    case SP_JSON_NUMBER: return sp_form_tree_scalar(t, SP_NODE_NUMBER, j->value, j->line, j->column, NULL);
    case SP_JSON_TRUE: return sp_form_tree_scalar(t, SP_NODE_BOOL, SP_STR("true"), j->line, j->column, NULL);
    case SP_JSON_FALSE:
        return sp_form_tree_scalar(t, SP_NODE_BOOL, SP_STR("false"), j->line, j->column, NULL);
    case SP_JSON_NULL: return sp_form_tree_scalar(t, SP_NODE_NULL, SP_STR("null"), j->line, j->column, NULL);
    case SP_JSON_END: break;
    }
    return SP_OK;
}

sp_err sp_form_parse_json(struct sp_form_doc *doc, sp_str text)
{
    struct sp_json j;
    struct sp_form_tree t = { .doc = doc };
    sp_json_init(&j, doc->arena, text);
    for (;;) {
        int event = sp_json_next(&j);
        if (event == SP_E_NOMEM)
            return SP_E_NOMEM;
        if (event < 0) {
            sp_form_fault(doc, event, j.line, j.column, t.at ? sp_form_node_path(doc, t.at) : "",
                          "not JSON: %s", j.problem);
            return event;
        }
        if (event == SP_JSON_END)
            return SP_OK;
        sp_err err = on_event(&t, &j, (enum sp_json_event)event);
        if (err)
            return err;
    }
}
