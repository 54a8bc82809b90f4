/* What a run tells of its positions; colours; projections. */
#include "check.h"
#include "fake_run.h"
#include "panels/palette.h"
#include "run/projection.h"
#include "run/quantity.h"

using namespace viewer;

static bool near(float a, float b)
{
    return std::fabs(a - b) <= 1e-5F;
}

static void positions_are_followed(void **)
{
    fake_run r;
    analysis a(r);
    assert_int_equal(a.length(), 3);
    assert_int_equal(a.n_steps(), 2);
    assert_int_equal(a.committed(0), 0);
    assert_int_equal(a.committed(1), 2);
    assert_int_equal(a.committed(2), 1);
    assert_true(std::isnan(a.commit_probability(0)));
    assert_true(near(a.commit_probability(1), 0.8F));
    assert_int_equal(a.n_looks(0), 0);
    assert_int_equal(a.n_looks(1), 2);
    assert_int_equal(a.looks_until(0, 1), 0);
    assert_int_equal(a.looks_until(1, 1), 1);
    assert_int_equal(a.get_look(1, 1).step, 2);
    assert_int_equal(a.candidate(0, 1), -1);
    assert_int_equal(a.candidate(1, 1), 3);
    assert_int_equal(a.candidate(2, 1), 2);
    assert_true(near(a.entropy(1, 1), 2) && near(a.entropy(2, 1), 1) && std::isnan(a.entropy(2, 0)));
    assert_int_equal(a.n_masked(0), 2);
    assert_int_equal(a.n_masked(1), 1);
    assert_int_equal(a.n_masked(2), 0);
    assert_true(a.at(0, 0).given && !a.at(1, 2).given);
    assert_true(a.at(1, 2).changed && !a.at(2, 2).changed);
    assert_int_equal(a.at(1, 1).token, -1);
}

static void curves_are_over_steps(void **)
{
    fake_run r;
    analysis a(r);
    assert_int_equal(a.curves().size(), 4);
    assert_true(near(a.curves()[0].values[1], 1) && near(a.curves()[0].most, 2));
    assert_true(std::isnan(a.curves()[1].values[0]) && near(a.curves()[1].values[1], 1));
    assert_true(near(a.curves()[3].values[2], 2));
}

static void quantities_lie_on_their_scales(void **)
{
    fake_run r;
    analysis a(r);
    assert_true(near(quantity_level(a, quantity::commit_step, 2, 2), 0.5F));
    assert_true(std::isnan(quantity_level(a, quantity::commit_step, 2, 0)));
    assert_true(near(quantity_level(a, quantity::commit_probability, 2, 1), 0.8F));
    assert_true(near(quantity_level(a, quantity::entropy, 1, 1), 1));
    assert_true(near(quantity_level(a, quantity::entropy, 2, 1), 0.5F));
    assert_true(near(quantity_level(a, quantity::candidate, 1, 1), 0));
    assert_true(near(quantity_level(a, quantity::candidate, 2, 1), 1));
    assert_string_equal(get_scale(a, quantity::commit_step).high.c_str(), "2");
    assert_string_equal(get_scale(a, quantity::entropy).high.c_str(), "2.0 nats");
}

static void colours_are_readable(void **)
{
    assert_int_equal(viridis(0, 7), rgb(0x440154));
    assert_int_equal(viridis(1, 7), rgb(0xfde725));
    assert_int_equal(viridis(-3, 7), rgb(0x440154));
    assert_int_equal(viridis(NAN, 7), 7);
    assert_int_equal(ink_on(viridis(0, 0)), rgb(0xFFFFFF));
    assert_int_equal(ink_on(viridis(1, 0)), rgb(0x0D0F12));
    assert_int_equal(rgb(0x123456), 0xFF563412);
    assert_int_equal(with_alpha(rgb(0x123456), 0.5F) >> 24, 128);
}

static void states_are_projected(void **)
{
    /* A line in three dimensions with a little bend. */
    const float states[4][3] = {{0, 0, 0}, {1, 1, 0}, {2, 2, 0.1F}, {3, 3, 0}};
    projection p = project({states[0], states[1], states[2], states[3]}, 3);
    assert_true(p.share > 0.99F && p.share <= 1.0001F);
    for (size_t i = 0; i < 3; i++)
        assert_true(std::fabs(p.x[i + 1] - p.x[i] - std::sqrt(2.0F)) < 0.01F);
    const float broken[3] = {NAN, 0, 0};
    p = project({states[0], broken, states[3]}, 3);
    assert_true(std::isnan(p.x[1]) && std::isfinite(p.x[0]) && std::isfinite(p.y[2]));
    p = project({states[0]}, 3);
    assert_true(near(p.x[0], 0) && near(p.y[0], 0) && near(p.share, 0));
    assert_int_equal(project({}, 3).x.size(), 0);
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(positions_are_followed),         cmocka_unit_test(curves_are_over_steps),
        cmocka_unit_test(quantities_lie_on_their_scales), cmocka_unit_test(colours_are_readable),
        cmocka_unit_test(states_are_projected),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
