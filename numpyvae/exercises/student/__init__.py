"""What a student sees: the files to fill in, the check in words, hints, the live page."""
