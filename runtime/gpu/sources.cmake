set(GPU_SOURCES buffer.c cache.c caps.c command.c device.c instance.c pipeline.c result.c spirv.c statistics.c upload.c volk.c)
