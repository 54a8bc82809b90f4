#include "panels/palette.h"

#include <algorithm>
#include <cmath>

namespace viewer
{

colour with_alpha(colour c, float alpha)
{
    float a = std::clamp(alpha, 0.0F, 1.0F) * static_cast<float>(c >> 24);
    return (c & 0x00FFFFFFU) | static_cast<uint32_t>(std::lround(a)) << 24;
}

colour mix(colour a, colour b, float u)
{
    colour out = 0;
    for (int shift = 0; shift < 32; shift += 8) {
        auto from = static_cast<float>(a >> shift & 0xFF), to = static_cast<float>(b >> shift & 0xFF);
        out |= static_cast<uint32_t>(std::lround(from + (to - from) * u)) << shift;
    }
    return out;
}

colour viridis(float u, colour other)
{
    static const colour table[] = {rgb(0x440154), rgb(0x472c7a), rgb(0x3b518b), rgb(0x2c718e), rgb(0x21908d),
                                   rgb(0x27ad81), rgb(0x5cc863), rgb(0xaadc32), rgb(0xfde725)};
    constexpr int last = sizeof table / sizeof *table - 1;
    if (std::isnan(u))
        return other;
    float at = std::clamp(u, 0.0F, 1.0F) * last;
    int i = std::min(static_cast<int>(at), last - 1);
    return mix(table[i], table[i + 1], at - static_cast<float>(i));
}

colour ink_on(colour c)
{
    auto linear = [](uint32_t byte) {
        double v = byte / 255.0;
        return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
    };
    double luminance =
        0.2126 * linear(c & 0xFF) + 0.7152 * linear(c >> 8 & 0xFF) + 0.0722 * linear(c >> 16 & 0xFF);
    return luminance > 0.19 ? rgb(0x0D0F12) : rgb(0xFFFFFF);
}

const theme &get_theme(bool dark)
{
    static const theme light_theme = {
        false,
        rgb(0xEEF0F3),
        rgb(0xFFFFFF),
        rgb(0xD3D8DF),
        rgb(0x1B2027),
        rgb(0x667080),
        rgb(0xE6E9EE),
        rgb(0x1F6FEB),
        rgb(0xE9ECF1),
        rgb(0xDADFE7),
        rgb(0xE4E8EE),
        rgb(0x8D97A6),
        rgb(0xB4BCC8),
        rgb(0xE8431F),
        rgb(0x0072B2),
        rgb(0xE69F00),
        rgb(0x1F6FEB),
        {rgb(0x0072B2), rgb(0xD55E00), rgb(0x009E73), rgb(0xCC79A7), rgb(0xB58900), rgb(0x56B4E9),
         rgb(0x5B4B8A), rgb(0x4D4D4D)},
    };
    static const theme dark_theme = {
        true,
        rgb(0x101318),
        rgb(0x191D24),
        rgb(0x2E3540),
        rgb(0xE6EAF0),
        rgb(0x909BAB),
        rgb(0x272D37),
        rgb(0x6CB0FF),
        rgb(0x2A303A),
        rgb(0x3A424F),
        rgb(0x252B34),
        rgb(0x76818F),
        rgb(0x4A5462),
        rgb(0xFF6A45),
        rgb(0x56B4E9),
        rgb(0xE69F00),
        rgb(0x6CB0FF),
        {rgb(0x56B4E9), rgb(0xFF8A3D), rgb(0x2BC79A), rgb(0xE59AC6), rgb(0xF0E442), rgb(0x7F9DFF),
         rgb(0xB8A2F0), rgb(0xC8CDD5)},
    };
    return dark ? dark_theme : light_theme;
}

} // namespace viewer
