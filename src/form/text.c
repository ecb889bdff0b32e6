/* Scalars as text: the JSON mapping's numbers, bytes, durations and points in time.
 *
 * Numbers are exact. A 64-bit integer never passes through a double: its text is taken apart into sign,
 * digits and exponent, and 1e3, 1000.0 and "1000" are the same integer, while 1.5 or 2^64 are errors with a
 * name (SP_E_INVALID: no integer; SP_E_RANGE: does not fit). Floating point goes through strtod, which rounds
 * right and, as no program here calls setlocale, reads a point as a point.
 *
 * Dates are computed by the civil-from-days method (Hinnant): the year is counted from March, so that the
 * leap day is the last of its year and months have a formula. No time zone data, no libc clock. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "form/form_impl.h"

/* Longest number that is looked at: no double and no integer needs more to be told from another. */
#define NUMBER_BYTES_MAX 400
#define NANOS_PER_SECOND 1000000000

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* -digits[.digits][e[+-]digits], as JSON has it: no leading zeros, no plus in front. */
struct number {
    bool negative;
    sp_str whole, fraction;
    int32_t exponent;
};

static size_t count_digits(sp_str s)
{
    size_t n = 0;
    while (n < s.len && is_digit(s.ptr[n]))
        n++;
    return n;
}

static bool take_exponent(sp_str *s, int32_t *ret_exponent)
{
    *s = sp_str_from(*s, 1);
    bool negative = s->len && s->ptr[0] == '-';
    if (s->len && (s->ptr[0] == '-' || s->ptr[0] == '+'))
        *s = sp_str_from(*s, 1);
    size_t n = count_digits(*s);
    if (n == 0)
        return false;
    int32_t value = 0;
    for (size_t i = 0; i < n; i++)
        if (value < 100000) /* beyond it everything is zero or too large alike */
            value = value * 10 + (s->ptr[i] - '0');
    *ret_exponent = negative ? -value : value;
    *s = sp_str_from(*s, n);
    return true;
}

static bool split_number(sp_str s, struct number *ret)
{
    struct number n = { 0 };
    if (s.len > NUMBER_BYTES_MAX)
        return false;
    if (s.len && s.ptr[0] == '-') {
        n.negative = true;
        s = sp_str_from(s, 1);
    }
    n.whole = sp_str_upto(s, count_digits(s));
    if (n.whole.len == 0 || (n.whole.len > 1 && n.whole.ptr[0] == '0'))
        return false;
    s = sp_str_from(s, n.whole.len);
    if (s.len && s.ptr[0] == '.') {
        s = sp_str_from(s, 1);
        n.fraction = sp_str_upto(s, count_digits(s));
        if (n.fraction.len == 0)
            return false;
        s = sp_str_from(s, n.fraction.len);
    }
    if (s.len && (s.ptr[0] == 'e' || s.ptr[0] == 'E') && !take_exponent(&s, &n.exponent))
        return false;
    *ret = n;
    return s.len == 0;
}

bool sp_form_text_is_number(sp_str text)
{
    struct number n;
    return split_number(text, &n);
}

static char digit_at(const struct number *n, size_t i)
{
    return i < n->whole.len ? n->whole.ptr[i] : n->fraction.ptr[i - n->whole.len];
}

/* The size of the number when it is a whole one. */
static sp_err whole_value(const struct number *n, uint64_t *ret_value)
{
    size_t digits = n->whole.len + n->fraction.len;
    int64_t point = (int64_t)n->whole.len + n->exponent; /* digits in front of the point */
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        uint64_t digit = (uint64_t)(digit_at(n, i) - '0');
        if ((int64_t)i >= point) {
            if (digit)
                return SP_E_INVALID;
            continue;
        }
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return SP_E_RANGE;
    }
    for (int64_t i = (int64_t)digits; i < point && value; i++)
        if (__builtin_mul_overflow(value, (uint64_t)10, &value))
            return SP_E_RANGE;
    *ret_value = value;
    return SP_OK;
}

sp_err sp_form_text_to_u64(sp_str text, uint64_t *ret_value)
{
    struct number n;
    uint64_t value;
    if (!split_number(text, &n))
        return SP_E_INVALID;
    sp_err err = whole_value(&n, &value);
    if (err)
        return err;
    if (n.negative && value)
        return SP_E_RANGE;
    *ret_value = value;
    return SP_OK;
}

sp_err sp_form_text_to_i64(sp_str text, int64_t *ret_value)
{
    struct number n;
    uint64_t value;
    if (!split_number(text, &n))
        return SP_E_INVALID;
    sp_err err = whole_value(&n, &value);
    if (err)
        return err;
    if (value > (uint64_t)INT64_MAX + (n.negative ? 1 : 0))
        return SP_E_RANGE;
    *ret_value = n.negative ? (int64_t)(0 - value) : (int64_t)value;
    return SP_OK;
}

sp_err sp_form_text_to_double(sp_str text, double *ret_value)
{
    struct number n;
    char copy[NUMBER_BYTES_MAX + 1];
    if (!split_number(text, &n))
        return SP_E_INVALID;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    double value = strtod(copy, NULL);
    if (isinf(value))
        return SP_E_RANGE;
    *ret_value = value;
    return SP_OK;
}

/* Up to nine digits behind a point. */
static sp_err take_nanos(sp_str digits, int32_t *ret_nanos)
{
    if (digits.len == 0 || digits.len > 9 || count_digits(digits) != digits.len)
        return SP_E_INVALID;
    int32_t nanos = 0;
    for (size_t i = 0; i < 9; i++)
        nanos = nanos * 10 + (i < digits.len ? digits.ptr[i] - '0' : 0);
    *ret_nanos = nanos;
    return SP_OK;
}

sp_err sp_form_text_to_duration(sp_str text, int64_t *ret_seconds, int32_t *ret_nanos)
{
    if (text.len < 2 || text.ptr[text.len - 1] != 's')
        return SP_E_INVALID;
    sp_str number = sp_str_upto(text, text.len - 1);
    bool negative = number.ptr[0] == '-';
    if (negative)
        number = sp_str_from(number, 1);
    size_t dot = sp_str_find(number, '.');
    sp_str whole = sp_str_upto(number, dot);
    uint64_t seconds;
    int32_t nanos = 0;
    if (whole.len == 0 || count_digits(whole) != whole.len)
        return SP_E_INVALID;
    if (sp_str_to_u64(whole, &seconds) || seconds > (uint64_t)SP_FORM_DURATION_MAX)
        return SP_E_RANGE;
    if (dot < number.len && take_nanos(sp_str_from(number, dot + 1), &nanos))
        return SP_E_INVALID;
    if (seconds == (uint64_t)SP_FORM_DURATION_MAX && nanos)
        return SP_E_RANGE;
    *ret_seconds = negative ? -(int64_t)seconds : (int64_t)seconds;
    *ret_nanos = negative ? -nanos : nanos;
    return SP_OK;
}

static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (int64_t)(month + (month > 2 ? -3u : 9u)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

/* The number in s[at, at + n); -1 when it is none. */
static int take(sp_str s, size_t at, size_t n)
{
    int value = 0;
    if (s.len < at + n)
        return -1;
    for (size_t i = at; i < at + n; i++) {
        if (!is_digit(s.ptr[i]))
            return -1;
        value = value * 10 + (s.ptr[i] - '0');
    }
    return value;
}

static int days_in_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Z, or +hh:mm, -hh:mm: seconds east of Greenwich. */
static sp_err take_zone(sp_str s, int64_t *ret_east)
{
    if (s.len == 1 && (s.ptr[0] == 'Z' || s.ptr[0] == 'z')) {
        *ret_east = 0;
        return SP_OK;
    }
    int hours = take(s, 1, 2), minutes = take(s, 4, 2);
    if (s.len != 6 || (s.ptr[0] != '+' && s.ptr[0] != '-') || s.ptr[3] != ':' || hours < 0 || hours > 23 ||
        minutes < 0 || minutes > 59)
        return SP_E_INVALID;
    int64_t seconds = (int64_t)hours * 3600 + minutes * 60;
    *ret_east = s.ptr[0] == '-' ? -seconds : seconds;
    return SP_OK;
}

sp_err sp_form_text_to_timestamp(sp_str text, int64_t *ret_seconds, int32_t *ret_nanos)
{
    int year = take(text, 0, 4), month = take(text, 5, 2), day = take(text, 8, 2);
    int hour = take(text, 11, 2), minute = take(text, 14, 2), second = take(text, 17, 2);
    int32_t nanos = 0;
    int64_t east;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
        return SP_E_INVALID;
    if (text.ptr[4] != '-' || text.ptr[7] != '-' || (text.ptr[10] != 'T' && text.ptr[10] != 't') ||
        text.ptr[13] != ':' || text.ptr[16] != ':')
        return SP_E_INVALID;
    sp_str rest = sp_str_from(text, 19);
    if (rest.len && rest.ptr[0] == '.') {
        sp_str digits = sp_str_upto(sp_str_from(rest, 1), count_digits(sp_str_from(rest, 1)));
        if (take_nanos(digits, &nanos))
            return SP_E_INVALID;
        rest = sp_str_from(rest, 1 + digits.len);
    }
    if (take_zone(rest, &east))
        return SP_E_INVALID;
    int64_t seconds = days_from_civil(year, (unsigned)month, (unsigned)day) * 86400 + hour * 3600 +
                      minute * 60 + second - east;
    if (seconds < SP_FORM_TIMESTAMP_MIN || seconds > SP_FORM_TIMESTAMP_MAX)
        return SP_E_RANGE;
    *ret_seconds = seconds;
    *ret_nanos = nanos;
    return SP_OK;
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (is_digit(c))
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/* Base64, both alphabets, padded or not; the bits beyond the last byte must be zero. */
sp_err sp_form_text_to_bytes(struct sp_arena *a, sp_str text, sp_str *ret_bytes)
{
    sp_str body = text;
    for (int i = 0; i < 2 && body.len && body.ptr[body.len - 1] == '='; i++)
        body.len--;
    if (body.len % 4 == 1 || (body.len != text.len && text.len % 4 != 0))
        return SP_E_INVALID;
    char *bytes = sp_arena_alloc_align(a, body.len / 4 * 3 + 3, 1);
    if (!bytes)
        return SP_E_NOMEM;
    size_t len = 0;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < body.len; i++) {
        int value = sextet(body.ptr[i]);
        if (value < 0)
            return SP_E_INVALID;
        bits = (bits << 6 | (uint32_t)value) & 0xffffff;
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes[len++] = (char)(bits >> held & 0xff);
        }
    }
    if (bits & ((1u << held) - 1))
        return SP_E_INVALID;
    *ret_bytes = sp_str_of(bytes, len);
    return SP_OK;
}
