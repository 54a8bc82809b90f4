set(OPS_SOURCES embed.c)
