/* The solver's path to one token: its evaluations, and a projection of the states. */
#include "scene.h"

namespace viewer
{

void draw_flow_panel(scene &s, const area &where)
{
    put_text(s.fonts.bold, where.x0, where.y0, s.colours().text, "Path");
}

} // namespace viewer
