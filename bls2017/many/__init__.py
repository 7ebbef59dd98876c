"""Many files, on all cores of a machine.

`inputs` finds the files, `work` is what is done with each of them, and `pool`
does it with several at a time. `bls2017.beam` does the same on many machines.
"""
