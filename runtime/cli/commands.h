/* The commands, each described in its own file. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "options.h"

extern const command command_devices, command_info, command_generate, command_score, command_forward,
    command_tokenize, command_quantize, command_bench, command_view, command_trajectory;

#endif
