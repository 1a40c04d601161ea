#include "proto/smtp_param.h"

#include "proto/smtp_chars.h"

static size_t key_span(struct slice s)
{
    size_t n = 0;

    while (n < s.len && (char_is(s.ptr[n], CHAR_ALNUM) || (n != 0 && s.ptr[n] == '-'))) {
        n++;
    }
    return n;
}

enum smtp_param_result smtp_param_next(struct slice *rest, struct smtp_param *out)
{
    size_t blanks = chars_span(*rest, CHAR_BLANK);
    struct slice s;
    size_t len;

    *out = (struct smtp_param){0};
    if (rest->len == 0) {
        return SMTP_PARAM_END;
    }
    s = slice_from(*rest, blanks);
    len = key_span(s);
    if (blanks == 0 || len == 0) {
        return SMTP_PARAM_BAD;
    }
    out->key = slice_head(s, len);
    s = slice_from(s, len);
    if (s.len != 0 && s.ptr[0] == '=') {
        s = slice_from(s, 1);
        len = chars_span(s, CHAR_PARAM);
        if (len == 0) {
            return SMTP_PARAM_BAD;
        }
        out->value = slice_head(s, len);
        s = slice_from(s, len);
    }
    *rest = s;
    return SMTP_PARAM_OK;
}
