set(TRAJECTORY_SOURCES describe.c layout.c recorder.c spool.c trajectory.c)
