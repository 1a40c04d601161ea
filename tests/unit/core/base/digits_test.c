#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/base/attr.h"
#include "core/base/digits.h"

static void numbers_are_written_as_printf_writes_them(void **state)
{
    uint64_t power = 1;

    (void)state;
    for (unsigned i = 0; i < 20; i++, power *= 10) {
        const uint64_t values[] = {power - 1, power, power + 1, power * 3, UINT64_MAX - power};

        for (size_t v = 0; v < ARRAY_COUNT(values); v++) {
            char text[DIGITS_U64_MAX], expected[32];
            int len = snprintf(expected, sizeof(expected), "%llu", (unsigned long long)values[v]);

            assert_int_equal(digits_put_u64(text, values[v]) - text, len);
            assert_memory_equal(text, expected, (size_t)len);
        }
    }
}

static void every_byte_becomes_its_two_hex_digits_at_every_place(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t place = 0; place < 7; place++) {
            uint8_t bytes[7] = {0xf0, 0x0f, 0x9a, 0xa9, 0xff, 0x00, 0x5b};
            char text[14], expected[15];

            bytes[place] = (uint8_t)byte;
            assert_ptr_equal(digits_put_hex(text, bytes, sizeof(bytes)), text + sizeof(text));
            for (size_t i = 0; i < sizeof(bytes); i++) {
                (void)snprintf(expected + 2 * i, 3, "%02x", bytes[i]);
            }
            assert_memory_equal(text, expected, sizeof(text));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_printf_writes_them),
        cmocka_unit_test(every_byte_becomes_its_two_hex_digits_at_every_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
