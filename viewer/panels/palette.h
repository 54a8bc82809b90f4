/* Colours: scales for quantities, and the two themes. Colours are 0xAABBGGRR, as the draw lists take them. */
#ifndef VIEWER_PALETTE_H
#define VIEWER_PALETTE_H

#include <cstdint>

namespace viewer
{

using colour = uint32_t;

constexpr colour rgb(uint32_t hex)
{
    return 0xFF000000U | (hex & 0xFFU) << 16 | (hex & 0xFF00U) | hex >> 16;
}

/* The same colour with another opacity, 0 .. 1. */
colour with_alpha(colour c, float alpha);
/* From a to b, u in 0 .. 1. */
colour mix(colour a, colour b, float u);

/* Viridis: even steps look even, in print and to colour-blind eyes too. u outside 0 .. 1 is clamped; NaN
 * gives `other`. */
colour viridis(float u, colour other);

/* Black or white, whichever is easier to read on c. */
colour ink_on(colour c);

struct theme {
    bool dark;
    colour background, panel, border, text, faint, grid, accent;
    colour given;               /* behind text that the run began from */
    colour unknown;             /* behind a token whose quantity was not recorded */
    colour mask_low, mask_high; /* a masked position of low and of high entropy */
    colour mask_unknown;        /* outline of one whose entropy is not known */
    colour changed;             /* ring around what this step committed */
    colour same, other;         /* candidates against the final token, and two runs */
    colour curve;
    colour lines[8]; /* of a chart, told apart also by colour-blind eyes */
};

const theme &get_theme(bool dark);

} // namespace viewer

#endif
