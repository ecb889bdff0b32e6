/* expo: a strict reader of Prometheus' text format, written from the format's page and not from our
 * printer: what it lets pass every scraper takes. It checks names, escapes, order (all lines of a family
 * together, behind its TYPE), duplicates, numbers, and that each histogram is whole and grows. */
#ifndef SP_TESTS_OBSERVE_EXPO_H
#define SP_TESTS_OBSERVE_EXPO_H

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct expo_sample {
    char *name;   /* with suffix */
    char *labels; /* as printed, without le */
    double value;
    double le; /* NAN when none */
    int family;
};

struct expo_family {
    char *name;
    char type[16];
};

struct expo {
    struct expo_sample *samples;
    size_t count, cap;
    struct expo_family *families;
    size_t family_count, family_cap;
    char why[400];
};

static inline bool expo_fail(struct expo *e, const char *why, const char *line)
{
    snprintf(e->why, sizeof e->why, "%s: %.*s", why,
             (int)(strcspn(line, "\n") < 300 ? strcspn(line, "\n") : 300), line);
    return false;
}

static inline void expo_free(struct expo *e)
{
    for (size_t i = 0; i < e->count; i++) {
        free(e->samples[i].name);
        free(e->samples[i].labels);
    }
    for (size_t i = 0; i < e->family_count; i++)
        free(e->families[i].name);
    free(e->samples);
    free(e->families);
}

static inline size_t expo_name(const char *at, bool label)
{
    size_t n = 0;
    while (isalpha((unsigned char)at[n]) || at[n] == '_' || (at[n] == ':' && !label) ||
           (n && isdigit((unsigned char)at[n])))
        n++;
    return n;
}

static inline bool expo_is_utf8(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)s[i];
        size_t n = c < 0x80                ? 1
                   : c >= 0xC2 && c < 0xE0 ? 2
                   : c >= 0xE0 && c < 0xF0 ? 3
                   : c >= 0xF0 && c < 0xF5 ? 4
                                           : 0;
        if (!n || i + n > len)
            return false;
        for (size_t k = 1; k < n; k++)
            if (((unsigned char)s[i + k] & 0xC0) != 0x80)
                return false;
        i += n;
    }
    return true;
}

/* One `{...}`; *at stands at '{' and goes behind '}'. */
static inline bool expo_labels(struct expo *e, const char **at, struct expo_sample *s, const char *line)
{
    const char *p = *at + 1;
    char *out = malloc(strcspn(line, "\n") + 2);
    size_t len = 0;
    s->labels = out;
    out[0] = '\0';
    while (*p != '}') {
        size_t name = expo_name(p, true);
        if (!name || p[name] != '=' || p[name + 1] != '"')
            return expo_fail(e, "not label=\"value\"", line);
        const char *value = p + name + 2, *end = value;
        for (; *end != '"'; end++) {
            if (*end == '\n' || *end == '\0')
                return expo_fail(e, "a label's value does not end", line);
            if (*end == '\\' && *++end != '\\' && *end != '"' && *end != 'n')
                return expo_fail(e, "an unknown escape", line);
        }
        if (!expo_is_utf8(value, (size_t)(end - value)))
            return expo_fail(e, "a label's value is not UTF-8", line);
        if (name == 2 && strncmp(p, "le", 2) == 0)
            s->le = strncmp(value, "+Inf\"", 5) == 0 ? INFINITY : strtod(value, NULL);
        else {
            memcpy(out + len, p, (size_t)(end + 1 - p));
            len += (size_t)(end + 1 - p);
            out[len++] = ',';
            out[len] = '\0';
        }
        p = end + 1;
        if (*p == ',')
            p++;
        else if (*p != '}')
            return expo_fail(e, "neither comma nor brace behind a label", line);
    }
    *at = p + 1;
    return true;
}

static inline bool expo_belongs(const struct expo_family *f, const char *name)
{
    size_t len = strlen(f->name);
    if (strncmp(name, f->name, len) != 0)
        return false;
    if (strcmp(f->type, "histogram") == 0)
        return strcmp(name + len, "_bucket") == 0 || strcmp(name + len, "_sum") == 0 ||
               strcmp(name + len, "_count") == 0;
    return name[len] == '\0';
}

static inline bool expo_sample(struct expo *e, const char *line)
{
    struct expo_sample s = { .le = NAN };
    size_t name = expo_name(line, false);
    if (!name)
        return expo_fail(e, "no name", line);
    s.name = strndup(line, name);
    const char *at = line + name;
    bool good = *at != '{' || expo_labels(e, &at, &s, line);
    if (!s.labels)
        s.labels = strdup("");
    if (good && *at != ' ')
        good = expo_fail(e, "no blank before the value", line);
    if (good) {
        char *end;
        s.value = strtod(at + 1, &end);
        if (end == at + 1 || *end != '\n')
            good = expo_fail(e, "the value is no number, or something follows", line);
    }
    s.family = (int)e->family_count - 1;
    if (good && (s.family < 0 || !expo_belongs(&e->families[s.family], s.name)))
        good = expo_fail(e, "a sample outside its family", line);
    if (e->count == e->cap)
        e->samples = realloc(e->samples, (e->cap = e->cap * 2 + 64) * sizeof *e->samples);
    e->samples[e->count++] = s;
    return good;
}

static inline bool expo_comment(struct expo *e, const char *line)
{
    bool type = strncmp(line, "# TYPE ", 7) == 0;
    if (!type && strncmp(line, "# HELP ", 7) != 0)
        return expo_fail(e, "a comment that is neither HELP nor TYPE", line);
    size_t name = expo_name(line + 7, false);
    if (!name || line[7 + name] != ' ')
        return expo_fail(e, "no name in HELP or TYPE", line);
    if (!type)
        return true;
    for (size_t i = 0; i < e->family_count; i++)
        if (strlen(e->families[i].name) == name && strncmp(e->families[i].name, line + 7, name) == 0)
            return expo_fail(e, "a family twice", line);
    if (e->family_count == e->family_cap)
        e->families = realloc(e->families, (e->family_cap = e->family_cap * 2 + 64) * sizeof *e->families);
    struct expo_family *f = &e->families[e->family_count++];
    f->name = strndup(line + 7, name);
    if (sscanf(line + 8 + name, "%15s", f->type) != 1 ||
        (strcmp(f->type, "counter") != 0 && strcmp(f->type, "gauge") != 0 &&
         strcmp(f->type, "histogram") != 0))
        return expo_fail(e, "an unknown type", line);
    return true;
}

static inline int expo_by_identity(const void *a, const void *b)
{
    const struct expo_sample *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (!order)
        order = strcmp(x->labels, y->labels);
    if (!order && !isnan(x->le) && !isnan(y->le))
        order = x->le < y->le ? -1 : x->le > y->le;
    return order;
}

static inline const struct expo_sample *expo_find(const struct expo *e, const char *name, const char *labels)
{
    for (size_t i = 0; i < e->count; i++)
        if (strcmp(e->samples[i].name, name) == 0 && strstr(e->samples[i].labels, labels))
            return &e->samples[i];
    return NULL;
}

/* Sorted by identity: equal neighbours are duplicates; the buckets of a histogram follow each other by le. */
static inline bool expo_check(struct expo *e)
{
    qsort(e->samples, e->count, sizeof *e->samples, expo_by_identity);
    for (size_t i = 0; i < e->count; i++) {
        const struct expo_sample *s = &e->samples[i], *next = i + 1 < e->count ? s + 1 : NULL;
        bool same = next && strcmp(s->name, next->name) == 0 && strcmp(s->labels, next->labels) == 0;
        if (same && expo_by_identity(s, next) == 0)
            return expo_fail(e, "the same sample twice", s->name);
        bool bucket = strlen(s->name) > 7 && strcmp(s->name + strlen(s->name) - 7, "_bucket") == 0;
        if (strcmp(e->families[s->family].type, "histogram") == 0 && bucket) {
            if (isnan(s->le))
                return expo_fail(e, "a bucket without le", s->name);
            if (same && s->value > next->value)
                return expo_fail(e, "buckets that fall", s->name);
            if (!same && !isinf(s->le))
                return expo_fail(e, "a histogram without +Inf", s->name);
        }
        if (strcmp(e->families[s->family].type, "counter") == 0 && s->value < 0)
            return expo_fail(e, "a negative counter", s->name);
    }
    for (size_t i = 0; i < e->count; i++) { /* +Inf and count are the same number */
        const struct expo_sample *s = &e->samples[i];
        if (!isinf(s->le))
            continue;
        char count[200];
        snprintf(count, sizeof count, "%.*s_count", (int)strlen(s->name) - 7, s->name);
        const struct expo_sample key = { .name = count, .labels = s->labels, .le = NAN };
        const struct expo_sample *found = bsearch(&key, e->samples, e->count, sizeof key, expo_by_identity);
        if (!found || found->value != s->value)
            return expo_fail(e, "count is not the last bucket", s->name);
    }
    return true;
}

/* False with e->why. */
static inline bool expo_read(struct expo *e, const char *text)
{
    *e = (struct expo){ 0 };
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        if (!strchr(line, '\n'))
            return expo_fail(e, "the last line does not end", line);
        bool good = *line == '#' ? expo_comment(e, line) : expo_sample(e, line);
        if (!good)
            return false;
    }
    return expo_check(e);
}

#endif
