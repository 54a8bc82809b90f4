set(FORMAT_SOURCES json.c safetensors.c tensors.c)
