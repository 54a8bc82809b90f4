/* Commands whose names are taken but that this version lacks. */
#include "commands.h"

const command command_view = {
    .name = "view",
    .summary = "Shows a recorded trajectory.",
    .absent = "'view' is not part of this version",
};
