set(QUANTIZE_SOURCES model.c path.c quantize.c tokenizer.c types.c)
