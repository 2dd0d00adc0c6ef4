"""A student's file, read and run without trust: in a separate process that holds no answers."""
