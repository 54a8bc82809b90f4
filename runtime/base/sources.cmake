set(BASE_SOURCES error.c file.c file_output.c rng.c utf8.c)
