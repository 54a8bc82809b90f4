/* Pictures of a run, as `--png`, `--gif`, `--frames` and `--layout` ask for. */
#ifndef VIEWER_EXPORT_H
#define VIEWER_EXPORT_H

#include "options.h"
#include "panels/scene.h"

namespace viewer
{

/* False with a sentence in error. */
bool export_pictures(const options &o, scene &s, std::string &error);

} // namespace viewer

#endif
