set(BENCH_SOURCES bench.c attention.c cases.c layer.c matmul.c measure.c models.c probes.c rows.c)
