set(TRAJECTORY_SOURCES layout.c options.c recorder.c spool.c trajectory.c)
