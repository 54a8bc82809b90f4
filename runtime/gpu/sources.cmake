set(GPU_SOURCES buffer.c cache.c caps.c command.c compiler.c descriptors.c device.c instance.c pipeline.c result.c spirv.c statistics.c upload.c volk.c)
