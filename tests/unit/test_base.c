/* base/: UTF-8, half floats, Philox, checked sizes, error messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/half.h"
#include "base/rng.h"
#include "base/size.h"
#include "base/utf8.h"

static void utf8_encodes_known_characters(void **state)
{
    (void)state;
    static const struct {
        uint32_t cp;
        const char *bytes;
    } rows[] = {
        {0x24, "$"},
        {0x7F, "\x7F"},
        {0x80, "\xC2\x80"},
        {0x7FF, "\xDF\xBF"},
        {0x800, "\xE0\xA0\x80"},
        {0x20AC, "\xE2\x82\xAC"},
        {0xFFFF, "\xEF\xBF\xBF"},
        {0x10000, "\xF0\x90\x80\x80"},
        {0x10FFFF, "\xF4\x8F\xBF\xBF"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char out[4];
        size_t n = utf8_encode(rows[i].cp, out);
        assert_int_equal(n, strlen(rows[i].bytes));
        assert_memory_equal(out, rows[i].bytes, n);
    }
}

static void utf8_round_trips_every_character(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF)
            continue;
        unsigned char bytes[4];
        size_t n = utf8_encode(cp, bytes);
        uint32_t back;
        assert_int_equal(utf8_decode(bytes, n, &back), n);
        assert_int_equal(back, cp);
        assert_true(utf8_valid(bytes, n));
        for (size_t cut = 1; cut < n; cut++) {
            assert_true(utf8_is_prefix(bytes, cut));
            assert_int_equal(utf8_decode(bytes, cut, &back), cut);
            assert_int_equal(back, UTF8_INVALID);
        }
        assert_false(utf8_is_prefix(bytes, n));
    }
}

/* Every string of three bytes that begins like a character of three is compared with the set of
 * encodings, so that surrogates, overlong forms and bad continuations are all covered. */
static void utf8_refuses_every_other_triple(void **state)
{
    (void)state;
    unsigned char *valid = calloc(1, 1 << 20);
    assert_non_null(valid);
    for (uint32_t cp = 0x800; cp <= 0xFFFF; cp++) {
        unsigned char b[4];
        if (cp >= 0xD800 && cp <= 0xDFFF)
            continue;
        assert_int_equal(utf8_encode(cp, b), 3);
        valid[(b[0] & 15u) << 16 | (uint32_t)b[1] << 8 | b[2]] = 1;
    }
    for (uint32_t i = 0; i < 1 << 20; i++) {
        unsigned char b[3] = {(unsigned char)(0xE0 | i >> 16), (unsigned char)(i >> 8), (unsigned char)i};
        uint32_t cp;
        size_t n = utf8_decode(b, 3, &cp);
        if ((n == 3 && cp != UTF8_INVALID) != (valid[i] == 1))
            fail_msg("%02x %02x %02x: length %zu, code point %x", b[0], b[1], b[2], n, cp);
    }
    free(valid);
}

/* The examples of the Unicode standard, section 3.9, tables 3-8 to 3-11. */
static void utf8_replaces_maximal_subparts(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        unsigned char lengths[12]; /* of the units; 0 ends */
    } rows[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", {2, 1, 3, 2, 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const unsigned char *s = (const unsigned char *)rows[i].bytes;
        size_t n = strlen(rows[i].bytes), units = 0;
        for (size_t at = 0; at < n; units++) {
            uint32_t cp;
            size_t used = utf8_decode(s + at, n - at, &cp);
            assert_int_equal(used, rows[i].lengths[units]);
            assert_int_equal(cp, s[at] < 0x80 ? s[at] : UTF8_INVALID);
            at += used;
        }
        assert_int_equal(rows[i].lengths[units], 0);
        assert_false(utf8_valid(s, n));
    }
    assert_true(utf8_valid((const unsigned char *)"", 0));
    assert_true(utf8_is_prefix((const unsigned char *)"", 0));
    assert_false(utf8_is_prefix((const unsigned char *)"\xED\xA0", 2));
    assert_false(utf8_is_prefix((const unsigned char *)"a", 1));
}

/* The value of a binary16 number by its definition, in double. */
static double f16_value(uint32_t h)
{
    int exponent = (int)(h >> 10 & 31);
    double mantissa = h & 1023;
    double magnitude = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return h & 0x8000 ? -magnitude : magnitude;
}

static void f16_widens_and_returns_exactly(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = f32_from_f16((uint16_t)h);
        uint16_t back = f16_from_f32(f);
        if ((h & 0x7C00) != 0x7C00) {
            assert_true((double)f == f16_value(h));
            assert_int_equal(signbit(f) != 0, h >> 15);
            assert_int_equal(back, h);
        } else if ((h & 0x3FF) == 0) {
            assert_true(isinf(f) && (signbit(f) != 0) == (h >> 15 != 0));
            assert_int_equal(back, h);
        } else {
            assert_true(isnan(f));
            assert_true((back & 0x7C00) == 0x7C00 && (back & 0x3FF) != 0);
        }
    }
}

/* Between each two neighbours lies a tie, which goes to the even one; either side of it goes to its
 * own neighbour. The largest finite number's upper neighbour is infinity, with the tie at 65520. */
static void f16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000) {
        for (uint32_t h = sign; h < (sign | 0x7C00); h++) {
            double next = (h & 0x7FFF) == 0x7BFF ? (sign ? -65536.0 : 65536.0) : f16_value(h + 1);
            double exact = (f16_value(h) + next) / 2;
            float tie = (float)exact;
            assert_true((double)tie == exact);
            assert_int_equal(f16_from_f32(tie), h & 1 ? h + 1 : h);
            assert_int_equal(f16_from_f32(nextafterf(tie, sign ? -INFINITY : INFINITY)), h + 1);
            assert_int_equal(f16_from_f32(nextafterf(tie, 0)), h);
        }
    }
    assert_int_equal(f16_from_f32(0x1p-149f), 0);
    assert_int_equal(f16_from_f32(-0x1p-149f), 0x8000);
    assert_int_equal(f16_from_f32(0x1.fffffep127f), 0x7C00);
    assert_int_equal(f16_from_f32(-INFINITY), 0xFC00);
}

static void bf16_is_the_upper_half(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++)
        assert_int_equal(f32_to_bits(f32_from_bf16((uint16_t)h)), h << 16);
    assert_true(f32_from_bf16(0x3F80) == 1.0f);
    assert_true(f32_from_bf16(0xC049) == -3.140625f);
}

/* Known answers of the Random123 distribution (kat_vectors, philox4x32 with 10 rounds). */
static void philox_gives_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], result[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const uint32_t *c = rows[i].counter;
        uint64_t key = (uint64_t)rows[i].key[1] << 32 | rows[i].key[0];
        rng_block block = rng_philox(key, c[0], c[1], c[2], c[3]);
        assert_memory_equal(block.word, rows[i].result, sizeof block.word);
    }
}

static void uniform_stays_below_one(void **state)
{
    (void)state;
    assert_true(rng_uniform(0, 0) == 0.0);
    assert_true(rng_uniform(~0u, ~0u) == 1.0 - 0x1p-53);
    assert_true(rng_uniform(0x80000000u, 0) == 0.5);
    assert_true(rng_uniform(0, 1 << 6) == 0x1p-53);
    assert_int_equal(rng_counter2(RNG_CHOICE, 5), 0x30000005u);
    assert_int_equal(rng_counter2(RNG_TOKEN, RNG_MAX_STEP), RNG_MAX_STEP);
}

static void sizes_are_checked(void **state)
{
    (void)state;
    uint64_t out;
    assert_true(size_mul(UINT64_MAX, 1, &out) && out == UINT64_MAX);
    assert_false(size_mul(1ull << 32, 1ull << 32, &out));
    assert_true(size_add(UINT64_MAX - 1, 1, &out) && out == UINT64_MAX);
    assert_false(size_add(UINT64_MAX, 1, &out));
    assert_int_equal(size_round_up(0, 8), 0);
    assert_int_equal(size_round_up(9, 8), 16);
    assert_int_equal(size_round_up(16, 8), 16);
}

static void error_messages_are_clean(void **state)
{
    (void)state;
    vkdlm_error err;
    assert_int_equal(error_set(&err, VKDLM_IO, "a\nb\x1b[31m\x7f \xC2\x85 \xFF \xC3\xA9"), VKDLM_IO);
    assert_int_equal(err.status, VKDLM_IO);
    assert_string_equal(err.message, "a?b?[31m? ? ? \xC3\xA9");
    assert_int_equal(error_set(NULL, VKDLM_MALFORMED, "ignored"), VKDLM_MALFORMED);

    error_set(&err, VKDLM_MALFORMED, "inner");
    assert_int_equal(error_prefix(&err, VKDLM_IO, "outer"), VKDLM_MALFORMED);
    assert_string_equal(err.message, "outer: inner");
    assert_int_equal(error_prefix(NULL, VKDLM_IO, "outer"), VKDLM_IO);
}

/* A message that does not fit ends at a character boundary, whatever the boundary's position. */
static void error_messages_are_cut_between_characters(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    char text[MANY * 3 + 1];
    for (int i = 0; i < MANY; i++)
        memcpy(text + 3 * i, "\xE2\x82\xAC", 3);
    text[MANY * 3] = 0;
    for (int shift = 0; shift < 3; shift++) {
        vkdlm_error err;
        error_set(&err, VKDLM_IO, "%.*s%s", shift, "xxx", text);
        size_t n = strlen(err.message);
        assert_true(n >= sizeof err.message - 3 && n < sizeof err.message);
        assert_int_equal((n - (size_t)shift) % 3, 0);
        assert_true(utf8_valid((unsigned char *)err.message, n));
        assert_null(strchr(err.message, '?'));
    }
}

static void every_status_has_a_text(void **state)
{
    (void)state;
    for (int i = VKDLM_OK; i <= VKDLM_INTERNAL; i++)
        assert_string_not_equal(vkdlm_status_text((vkdlm_status)i), "unknown status");
    assert_string_equal(vkdlm_status_text((vkdlm_status)(VKDLM_INTERNAL + 1)), "unknown status");
    assert_string_equal(vkdlm_status_text((vkdlm_status)-1), "unknown status");
    assert_true(strlen(vkdlm_version()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_encodes_known_characters),
        cmocka_unit_test(utf8_round_trips_every_character),
        cmocka_unit_test(utf8_refuses_every_other_triple),
        cmocka_unit_test(utf8_replaces_maximal_subparts),
        cmocka_unit_test(f16_widens_and_returns_exactly),
        cmocka_unit_test(f16_rounds_to_nearest_even),
        cmocka_unit_test(bf16_is_the_upper_half),
        cmocka_unit_test(philox_gives_known_answers),
        cmocka_unit_test(uniform_stays_below_one),
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(error_messages_are_clean),
        cmocka_unit_test(error_messages_are_cut_between_characters),
        cmocka_unit_test(every_status_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
