/* Curves that are drawn with fewer points. */
#include <cmath>

#include "check.h"
#include "panels/curve.h"

using namespace viewer;

constexpr float tolerance = 0.1F;

/* Where the curve is at x, which lies between two of its points. */
static float height_at(const std::vector<curve_point> &curve, float x)
{
    for (size_t i = 0; i + 1 < curve.size(); i++)
        if (x >= curve[i].x && x <= curve[i + 1].x && curve[i].x < curve[i + 1].x)
            return curve[i].y +
                   (curve[i + 1].y - curve[i].y) * (x - curve[i].x) / (curve[i + 1].x - curve[i].x);
    return NAN;
}

static void check_thinned(const std::vector<curve_point> &all, size_t most)
{
    const std::vector<curve_point> thin = thin_curve(all, tolerance);
    assert_in_range(thin.size(), 2, most);
    assert_true(thin.front().x == all.front().x && thin.front().y == all.front().y);
    assert_true(thin.back().x == all.back().x && thin.back().y == all.back().y);
    for (curve_point p : all)
        assert_true(std::fabs(height_at(thin, p.x) - p.y) <= tolerance * 1.01F);
}

static void smooth_curves_need_few_points(void **)
{
    std::vector<curve_point> line, bow, steps;
    for (int i = 0; i <= 1000; i++) {
        const float x = 10 + static_cast<float>(i);
        line.push_back({x, 5 + x / 3});
        bow.push_back({x, 40 * std::exp(-x / 300)});
        steps.push_back({x, i < 500 ? 3.0F : 30.0F});
    }
    check_thinned(line, 2);
    check_thinned(bow, 20);
    check_thinned(steps, 4);
}

static void rough_curves_keep_their_points(void **)
{
    std::vector<curve_point> all;
    for (int i = 0; i <= 1000; i++)
        all.push_back({static_cast<float>(i), static_cast<float>(i * 7919 % 31)});
    check_thinned(all, all.size());
    assert_true(thin_curve(all, tolerance).size() > 900);
}

static void long_curves_have_no_more_than_columns(void **)
{
    std::vector<curve_point> all;
    for (int i = 0; i < 100000; i++)
        all.push_back({static_cast<float>(i) / 1000, static_cast<float>(i * 7919 % 101)});
    const std::vector<curve_point> thin = thin_curve(all, tolerance);
    assert_in_range(thin.size(), 200, 400);
    float low = 100, high = 0;
    for (curve_point p : thin)
        if (p.x >= 50 && p.x < 51) {
            low = std::fmin(low, p.y);
            high = std::fmax(high, p.y);
        }
    assert_true(low == 0 && high == 100);
}

static void points_at_the_same_place_stay_a_line(void **)
{
    const std::vector<curve_point> up = {{1, 2}, {1, 30}, {1, 4}, {1, 5}};
    const std::vector<curve_point> thin = thin_curve(up, tolerance);
    assert_int_equal(thin.size(), 3);
    assert_true(thin[0].y == 2 && thin[1].y == 30 && thin[2].y == 5);
    assert_int_equal(thin_curve({}, tolerance).size(), 0);
    assert_int_equal(thin_curve({{1, 2}}, tolerance).size(), 1);
    assert_int_equal(thin_curve({{1, 2}, {NAN, 3}}, tolerance).size(), 2);
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(smooth_curves_need_few_points),
        cmocka_unit_test(rough_curves_keep_their_points),
        cmocka_unit_test(long_curves_have_no_more_than_columns),
        cmocka_unit_test(points_at_the_same_place_stay_a_line),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
