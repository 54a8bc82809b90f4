set(FORMAT_SOURCES checkpoint.c gguf.c gguf_values.c gguf_writer.c json.c quant.c quant_k.c quant_k_write.c quant_search.c quant_small.c
  quant_small_write.c safetensors.c tensors.c tensors_writer.c)
