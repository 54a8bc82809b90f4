#include "screen/export.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

#include <sys/stat.h>

#include "screen/picture.h"
#include "screen/report.h"

namespace viewer
{
namespace
{

bool write_frames(const options &o, scene &s, offscreen &target, std::string &error)
{
    if (mkdir(o.frames.c_str(), 0777) != 0 && errno != EEXIST) {
        error = "cannot create '" + o.frames + "': " + strerror(errno);
        return false;
    }
    picture p;
    for (uint32_t step = 0; step <= s.state.n_steps; step++) {
        char name[32];
        snprintf(name, sizeof name, "/%06u.png", step);
        go_to(s.state, step);
        if (!target.draw(s, p, error) || !write_png(o.frames + name, p, error))
            return false;
    }
    return true;
}

bool write_gif(const options &o, scene &s, offscreen &target, std::string &error)
{
    std::unique_ptr<gif_writer> gif = create_gif(o.gif, o.width, o.height, error);
    picture p;
    const int each = static_cast<int>(std::lround(std::clamp(100 / std::max(o.speed, 0.01), 2.0, 400.0)));
    for (uint32_t step = 0; gif && step <= s.state.n_steps; step++) {
        go_to(s.state, step);
        bool last = step == s.state.n_steps;
        if (!target.draw(s, p, error) || !gif->add(p, last ? std::max(each, 250) : each, error))
            return false;
    }
    return gif && gif->finish(error);
}

bool export_all(const options &o, scene &s, std::string &error)
{
    offscreen target;
    picture p;
    if (!load_fonts(s, error) || !target.open(s.live ? "" : o.device, o.width, o.height, error))
        return false;
    const uint32_t step = s.state.step;
    /* The first frame settles sizes. */
    if (!target.draw(s, p, error) || !target.draw(s, p, error))
        return false;
    if (!o.png.empty() && !write_png(o.png, p, error))
        return false;
    if (!o.layout.empty() && !write_layout(o.layout, s, error))
        return false;
    if (!o.frames.empty() && !write_frames(o, s, target, error))
        return false;
    go_to(s.state, step);
    return o.gif.empty() || write_gif(o, s, target, error);
}

} // namespace

bool export_pictures(const options &o, scene &s, std::string &error)
{
    double fit = std::min(o.width / 1280.0, o.height / 800.0);
    s.unit = static_cast<float>(o.scale > 0 ? o.scale : std::max(0.75, std::floor(fit * 4) / 4));
    ImGui::CreateContext();
    ImGui::GetIO().IniFilename = nullptr;
    ImGui::GetIO().MousePos = ImVec2(-FLT_MAX, -FLT_MAX);
    bool good = export_all(o, s, error);
    ImGui::DestroyContext();
    return good;
}

} // namespace viewer
