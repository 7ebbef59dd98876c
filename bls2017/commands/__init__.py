"""The commands of the console script `bls2017`, one thin module each."""
