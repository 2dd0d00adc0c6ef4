"""The exercises, the right results, what differs in a student's, and which mistake it is."""
