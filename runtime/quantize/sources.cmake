set(QUANTIZE_SOURCES model.c quantize.c tokenizer.c types.c)
