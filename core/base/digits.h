/*
 * digits - decimal and hex digits into a caller's bytes: what the texts of numbers, times,
 * addresses and ids are made of.
 *
 * Each call answers where the text ends. Nothing is terminated; room is the caller's affair.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DIGITS_U64_MAX 20u

/* "00" to "99", one after the other. */
extern const char digits_pairs[201];

/* Two digits of a value below 100. */
static inline char *digits_put2(char *to, unsigned value)
{
    memcpy(to, digits_pairs + 2 * (size_t)value, 2);
    return to + 2;
}

/* Three digits of a value below 1000. */
static inline char *digits_put3(char *to, unsigned value)
{
    *to = (char)('0' + value / 100);
    return digits_put2(to + 1, value % 100);
}

/* Without leading zeros; at most DIGITS_U64_MAX. */
char *digits_put_u64(char *to, uint64_t value);
/* Two lower-case digits for each of the bytes. */
char *digits_put_hex(char *to, const uint8_t *bytes, size_t len);
