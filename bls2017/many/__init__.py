"""Many files at once.

Which files a command line names, the work on one of them, worker threads of one
machine, and the Beam pipeline for many machines.
"""
