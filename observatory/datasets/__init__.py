"""Published data sets: folders of plain files that hold a run's facts, and load again elsewhere.

A set is written by `write.publish` and loaded by `read.load`. The facts are CSV and JSON that a
person can read; what follows from them (summaries, fits, findings) is written beside them, derived
from these very files, so that the folder says the same as the database it is loaded into.
"""
