"""Runs the commands of a checkout: python -m bls2017 COMMAND."""

import sys

from bls2017.commands import main

if __name__ == "__main__":
  sys.exit(main.main())
