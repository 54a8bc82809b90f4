set(FORMAT_SOURCES checkpoint.c gguf.c gguf_values.c json.c quant.c quant_k.c quant_small.c safetensors.c tensors.c tensors_writer.c)
