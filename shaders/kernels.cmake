# Every compute kernel: kernel(NAME source.comp [DEFINE[=VALUE] ...]), one row a variant.
# NAME becomes GPU_KERNEL_NAME in the generated kernels.h.
