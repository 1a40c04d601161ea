#include "proto/smtp_chars.h"

#define AL (CHAR_ALNUM | CHAR_ATEXT | CHAR_LABEL | CHAR_QTEXT | CHAR_PARAM)
#define AT (CHAR_ATEXT | CHAR_QTEXT | CHAR_PARAM)
#define SP (CHAR_QTEXT | CHAR_PARAM) /* specials */
#define DC CHAR_DCONTENT
#define U8 (CHAR_ATEXT | CHAR_LABEL | CHAR_QTEXT | CHAR_PARAM)

const uint8_t smtp_chars[256] = {
    ['\t'] = CHAR_BLANK,
    [' '] = CHAR_BLANK | CHAR_QTEXT,
    ['!'] = AT | DC,
    ['"'] = CHAR_PARAM | DC,
    ['#'... '\''] = AT | DC,
    ['(' ... ')'] = SP | DC,
    ['*'... '+'] = AT | DC,
    [','] = SP | DC,
    ['-'] = AT | CHAR_LABEL | DC,
    ['.'] = SP | DC,
    ['/'] = AT | DC,
    ['0'... '9'] = AL | DC,
    [':'... '<'] = SP | DC,
    ['='] = CHAR_ATEXT | CHAR_QTEXT | DC,
    ['>'] = SP | DC,
    ['?'] = AT | DC,
    ['@'] = SP | DC,
    ['A'... 'Z'] = AL | DC,
    ['['] = SP,
    ['\\'] = CHAR_PARAM,
    [']'] = SP,
    ['^'] = AT | DC,
    ['_'] = AT | CHAR_LABEL | DC,
    ['`'] = AT | DC,
    ['a'... 'z'] = AL | DC,
    ['{'... '~'] = AT | DC,
    [0x80 ... 0xff] = U8,
};

size_t chars_quoted(struct slice s)
{
    size_t i = 1;

    if (s.len == 0 || s.ptr[0] != '"') {
        return 0;
    }
    while (i < s.len) {
        if (char_is(s.ptr[i], CHAR_QTEXT)) {
            i++;
        } else if (s.ptr[i] == '\\' && i + 1 < s.len && s.ptr[i + 1] >= ' ' &&
                   s.ptr[i + 1] <= '~') {
            i += 2;
        } else {
            return s.ptr[i] == '"' ? i + 1 : 0;
        }
    }
    return 0;
}

size_t chars_word(struct slice s, bool dots)
{
    size_t n;

    if (s.len != 0 && s.ptr[0] == '"') {
        return chars_quoted(s);
    }
    n = chars_span(s, CHAR_ATEXT);
    while (dots && n != 0 && n < s.len && s.ptr[n] == '.') {
        size_t more = chars_span(slice_from(s, n + 1), CHAR_ATEXT);

        if (more == 0) {
            return 0;
        }
        n += 1 + more;
    }
    return n;
}
