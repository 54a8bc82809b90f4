# Every compute kernel: kernel(NAME source.comp [DEFINE[=VALUE] ...]), one row a variant.
# NAME becomes GPU_KERNEL_NAME in the generated kernels.h.

kernel(EMBED_F32 embed.comp TABLE_F32)
kernel(EMBED_F16 embed.comp TABLE_F16)
kernel(EMBED_BF16 embed.comp TABLE_BF16)
kernel(ROTARY rotary.comp)
kernel(ATTENTION_SUBGROUP attention_lanes.comp SUBGROUP)
kernel(ATTENTION_PLAIN attention_lanes.comp)
kernel(ATTENTION_SHARED attention_shared.comp)
