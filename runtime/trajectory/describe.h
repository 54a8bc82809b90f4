/* What the metadata of a trajectory say of a run. */
#ifndef RUNTIME_TRAJECTORY_DESCRIBE_H
#define RUNTIME_TRAJECTORY_DESCRIBE_H

#include <vkdlm/complete.h>

/* JSON of every option, defaults resolved; freed with free(). NULL when out of memory. */
char *trajectory_describe_masked(const vkdlm_generate_options *options);
/* model: the values that its file gives. */
char *trajectory_describe_flow(const vkdlm_complete_options *options, const vkdlm_flow_info *model);

#endif
