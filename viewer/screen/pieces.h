/* What the panels draw, cut where pixels become cheaper: areas of one colour need no texture, and opaque ones
 * no blending. That is most of a window, and what a CPU driver spends its time on. */
#ifndef VIEWER_PIECES_H
#define VIEWER_PIECES_H

#include <cstdint>
#include <vector>

#include <imgui.h>

namespace viewer
{

/* Each can be drawn as one behind it too. */
enum class piece_kind { solid, blended, textured };
constexpr int n_piece_kinds = 3;

/* Triangles that follow one another. */
struct piece {
    piece_kind kind;
    uint32_t n_indices;
    float pixels; /* that are covered, each as often as it is */
};

/* Cuts triangles into pieces, in their order. `white` is where the letters' texture is opaque. Pieces of few
 * pixels are not worth a change of what is drawn with, and go with their neighbours. */
std::vector<piece> find_pieces(const ImDrawVert *vertices, const ImDrawIdx *indices, uint32_t n_indices,
                               ImVec2 white);

} // namespace viewer

#endif
