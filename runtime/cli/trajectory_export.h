/* Steps of a trajectory as CSV or JSON. */
#ifndef CLI_TRAJECTORY_EXPORT_H
#define CLI_TRAJECTORY_EXPORT_H

#include <stdio.h>

#include "pieces.h"

typedef struct trajectory_export {
    const vkdlm_trajectory *trajectory;
    vkdlm_trajectory_info info;
    pieces *text;
    FILE *out;
    bool json;
} trajectory_export;

/* Steps (of a flow's run, new tokens) that can be exported: 0 .. this - 1. */
uint32_t trajectory_export_count(const trajectory_export *e);

/* The line of names of a CSV file. False when the output took it not. */
bool trajectory_export_heading(const trajectory_export *e);

/* One step: a line of CSV for each position (evaluation), or one JSON object as a line. False when the output
 * took it not, or memory ran out. */
bool trajectory_export_step(const trajectory_export *e, uint32_t step);

#endif
