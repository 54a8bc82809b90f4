set(TRAJECTORY_SOURCES layout.c options.c recorder.c resumptions.c spool.c trajectory.c)
