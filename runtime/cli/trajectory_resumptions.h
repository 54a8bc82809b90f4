/* Where a recorded run was gone on with, for people and for programs. */
#ifndef CLI_TRAJECTORY_RESUMPTIONS_H
#define CLI_TRAJECTORY_RESUMPTIONS_H

#include <jansson.h>
#include <vkdlm/trajectory.h>

/* An array as in the metadata, each edit also with the texts of its tokens; NULL when out of memory. */
json_t *trajectory_resumptions_json(const vkdlm_trajectory *trajectory);

/* A line for each, and one for each of its edits; none for none. */
vkdlm_status trajectory_resumptions_report(const vkdlm_trajectory *trajectory, vkdlm_error *err);

#endif
