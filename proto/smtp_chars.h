/*
 * smtp_chars - the character classes of RFC 5321 with RFC 6531.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/slice.h"

#define CHAR_ALNUM (1u << 0)    /* letters and digits, ASCII */
#define CHAR_ATEXT (1u << 1)    /* of an atom; UTF-8 included */
#define CHAR_LABEL (1u << 2)    /* inside a label: alnum, '-', '_'; UTF-8 included */
#define CHAR_QTEXT (1u << 3)    /* unescaped in a quoted string; UTF-8 included */
#define CHAR_DCONTENT (1u << 4) /* in a literal after the tag */
#define CHAR_PARAM (1u << 5)    /* of a parameter's value: printable but '='; UTF-8 included */
#define CHAR_BLANK (1u << 6)    /* space and TAB */

extern const uint8_t smtp_chars[256];

static inline bool char_is(char c, unsigned classes)
{
    return (smtp_chars[(uint8_t)c] & classes) != 0;
}

/* How many bytes at the front of `s` are of `classes`. */
static inline size_t chars_span(struct slice s, unsigned classes)
{
    size_t n = 0;

    while (n < s.len && char_is(s.ptr[n], classes)) {
        n++;
    }
    return n;
}

/* Length of the quoted string at the front of `s`, quotes included; 0: none. */
PURE size_t chars_quoted(struct slice s);
/* Length of the atom (with '.' between parts when `dots`) or quoted string there; 0: none. */
PURE size_t chars_word(struct slice s, bool dots);
