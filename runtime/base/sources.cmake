set(BASE_SOURCES error.c rng.c utf8.c)
