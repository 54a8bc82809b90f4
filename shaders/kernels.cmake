# Every compute kernel: kernel(NAME source.comp [DEFINE[=VALUE] ...]), one row a variant.
# NAME becomes GPU_KERNEL_NAME in the generated kernels.h.

kernel(EMBED_F32 embed.comp TABLE_F32)
kernel(EMBED_F16 embed.comp TABLE_F16)
kernel(EMBED_BF16 embed.comp TABLE_BF16)
kernel(NORM norm.comp)
kernel(NORM_TEXELS norm.comp TEXELS)
kernel(RMS rms.comp)
kernel(RMS_TEXELS rms.comp TEXELS)
kernel(FLOW_STAGE flow_stage.comp)
kernel(FLOW_SOFTMAX flow_softmax.comp)
kernel(FLOW_SOFTMAX_TEXELS flow_softmax.comp TEXELS)
kernel(FLOW_VOCABULARY flow_vocabulary.comp)
kernel(FLOW_VOCABULARY_TEXELS flow_vocabulary.comp TEXELS)
kernel(TIMESTEP timestep.comp)
kernel(ROTARY rotary.comp)
kernel(ATTENTION_SUBGROUP attention_lanes.comp SUBGROUP)
kernel(ATTENTION_PLAIN attention_lanes.comp)
kernel(ATTENTION_SHARED attention_shared.comp)

# Linear layers: a variant (lib/matmul_core.glsl) x a weight type x an epilogue.
foreach(type F32 F16 BF16)
  kernel(MATMUL_SUBGROUP_${type} matmul.comp VARIANT_SUBGROUP WEIGHT_${type})
  kernel(MATMUL_TEXELS_${type} matmul.comp VARIANT_SUBGROUP TEXELS WEIGHT_${type})
  kernel(MATMUL_PLAIN_1_${type} matmul.comp PLAIN_ROWS=1 WEIGHT_${type})
  kernel(MATMUL_PLAIN_4_${type} matmul.comp PLAIN_ROWS=4 WEIGHT_${type})
  kernel(MATMUL_SHARED_${type} matmul.comp VARIANT_SHARED WEIGHT_${type})
  kernel(MATMUL_SUBGROUP_${type}_RESIDUAL matmul.comp VARIANT_SUBGROUP WEIGHT_${type} RESIDUAL)
  kernel(MATMUL_TEXELS_${type}_RESIDUAL matmul.comp VARIANT_SUBGROUP TEXELS WEIGHT_${type} RESIDUAL)
  kernel(MATMUL_PLAIN_1_${type}_RESIDUAL matmul.comp PLAIN_ROWS=1 WEIGHT_${type} RESIDUAL)
  kernel(MATMUL_PLAIN_4_${type}_RESIDUAL matmul.comp PLAIN_ROWS=4 WEIGHT_${type} RESIDUAL)
  kernel(MATMUL_SHARED_${type}_RESIDUAL matmul.comp VARIANT_SHARED WEIGHT_${type} RESIDUAL)
endforeach()

# Limits of the device, for benchmarks.
kernel(PROBE_FMA probe_fma.comp)
kernel(PROBE_READ probe_read.comp)

# The output layer: the same cores around a sampling epilogue.
foreach(type F32 F16 BF16)
  kernel(OUTPUT_SUBGROUP_${type} output_sample.comp VARIANT_SUBGROUP WEIGHT_${type})
  kernel(OUTPUT_TEXELS_${type} output_sample.comp VARIANT_SUBGROUP TEXELS WEIGHT_${type})
  kernel(OUTPUT_PLAIN_1_${type} output_sample.comp PLAIN_ROWS=1 WEIGHT_${type})
  kernel(OUTPUT_PLAIN_4_${type} output_sample.comp PLAIN_ROWS=4 WEIGHT_${type})
  kernel(OUTPUT_SHARED_${type} output_sample.comp VARIANT_SHARED WEIGHT_${type})
endforeach()
kernel(OUTPUT_MERGE output_merge.comp)
kernel(OUTPUT_SELECT output_select.comp)
