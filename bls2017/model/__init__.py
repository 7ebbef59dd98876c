"""The analysis and synthesis transform of a frozen model.

Reading a model directory, building its transforms as graphs of named arrays,
and running them strip by strip in bounded memory.
"""
