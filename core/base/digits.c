#include "core/base/digits.h"

const char digits_pairs[201] = "00010203040506070809101112131415161718192021222324"
                               "25262728293031323334353637383940414243444546474849"
                               "50515253545556575859606162636465666768697071727374"
                               "75767778798081828384858687888990919293949596979899";

static inline size_t digit_count(uint64_t value)
{
    size_t count = 1;

    for (; value >= 10000; value /= 10000) {
        count += 4;
    }
    return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

char *digits_put_u64(char *to, uint64_t value)
{
    char *end = to + digit_count(value), *at = end;

    for (; value >= 100; value /= 100) {
        at -= 2;
        (void)digits_put2(at, (unsigned)(value % 100));
    }
    if (value >= 10) {
        (void)digits_put2(to, (unsigned)value);
    } else {
        *to = (char)('0' + value);
    }
    return end;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "hex_digits() begins with the low byte");

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Four bytes, the first one lowest, as eight digits, likewise. */
static inline uint64_t hex_digits(uint32_t bytes)
{
    uint64_t x = bytes;
    uint64_t is_letter;

    x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x >> 4 | x << 8) & EACH(0x0f);
    is_letter = (x + EACH(6)) >> 4 & EACH(1);
    return x + EACH('0') + is_letter * ('a' - '9' - 1);
}

char *digits_put_hex(char *to, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (; len >= 4; len -= 4, bytes += 4, to += 8) {
        uint64_t text = hex_digits((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
                                   (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24);

        memcpy(to, &text, sizeof(text));
    }
    for (; len > 0; len--, bytes++, to += 2) {
        to[0] = digits[*bytes >> 4];
        to[1] = digits[*bytes & 15];
    }
    return to;
}
