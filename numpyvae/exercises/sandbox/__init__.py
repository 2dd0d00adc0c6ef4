"""A student's file, read and run without trust: in a process of its own, which knows no answer."""
