#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/hash.h"

#define SEED UINT64_C(0x9e3779b97f4a7c15)

/* XXH3 of bytes i * 131 + i / 256, as the portable form of the algorithm gives it. */
static const struct {
    size_t len;
    uint64_t unseeded, seeded;
} pins[] = {
    {0, UINT64_C(0x2d06800538d394c2), UINT64_C(0x602b0e2cd6662c8b)},
    {1, UINT64_C(0xc44bdff4074eecdb), UINT64_C(0x062b185e4e01441a)},
    {16, UINT64_C(0x0a0ec5ae8679cb7f), UINT64_C(0x95d332b0c4696f0c)},
    {128, UINT64_C(0x696069c4f1e6a91a), UINT64_C(0x4ecdfd294e836728)},
    {240, UINT64_C(0xb80284837259eee4), UINT64_C(0x26b5e6752d334ea4)},
    {241, UINT64_C(0x44dbd3180a664e27), UINT64_C(0x4057dee0902b483b)},
    {255, UINT64_C(0x942ab7e775f54aca), UINT64_C(0x59a44923640a5952)},
    {256, UINT64_C(0x266a2c816cbb31c5), UINT64_C(0x90e4d9ea0c8c338f)},
    {257, UINT64_C(0x0795b943ac4333f2), UINT64_C(0xa1ee8189f3f57d68)},
    {1023, UINT64_C(0xa454369c718a6456), UINT64_C(0xc39eaaad2fe7dcea)},
    {1024, UINT64_C(0xc6c700c409d40c4b), UINT64_C(0x933498136f990ce8)},
    {1025, UINT64_C(0x3ef78c3256f23450), UINT64_C(0xddd7a4f1c18490c4)},
    {4400, UINT64_C(0xb4c83466c1615638), UINT64_C(0x3af996cbf720326e)},
    {65537, UINT64_C(0x5610069def646498), UINT64_C(0x354e8d689d324346)},
};

static void what_was_written_to_disk_hashes_to_the_same_on_every_machine(void **state)
{
    static uint8_t bytes[65537 + 1];

    (void)state;
    for (unsigned shift = 0; shift < 2; shift++) { /* the second time, not aligned */
        for (size_t i = 0; i + shift < sizeof(bytes); i++) {
            bytes[i + shift] = (uint8_t)(i * 131 + (i >> 8));
        }
        for (size_t i = 0; i < ARRAY_COUNT(pins); i++) {
            assert_int_equal(hash64(bytes + shift, pins[i].len, 0), pins[i].unseeded);
            assert_int_equal(hash64(bytes + shift, pins[i].len, SEED), pins[i].seeded);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_to_disk_hashes_to_the_same_on_every_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
