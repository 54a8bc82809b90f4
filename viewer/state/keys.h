/* Keys of the window as actions. */
#ifndef VIEWER_KEYS_H
#define VIEWER_KEYS_H

#include <string>

#include "state/state.h"

namespace viewer
{

/* key and mods are GLFW's; `name` is what the key prints on this keyboard without modifiers, NULL: nothing.
 * Letters and signs go by what is printed, so that they are where people look for them. */
action find_action(int key, int mods, const char *name);

} // namespace viewer

#endif
