set(FORMAT_SOURCES checkpoint.c json.c safetensors.c tensors.c tensors_writer.c)
