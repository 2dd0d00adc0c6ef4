"""The coursework kit: exercises on backprop through sampling that name the student's mistake.

catalogue (what is asked, where it is tried) -> sandbox (a student's file, in a process of its own)
-> compare (what is wrong) -> diagnosis (which mistake it is) -> judging (marks) -> report (in
words)
"""

from numpyvae.exercises.rerun import rerun

__all__ = ["rerun"]
