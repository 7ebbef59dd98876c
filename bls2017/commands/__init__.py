"""The commands of the console script `bls2017`, one thin module each."""

from bls2017 import errors

_ADVICE = {
  errors.OutputExistsError: "use --overwrite to replace it",
  errors.ForeignModelError: "name the right one with --model",
}


def message(error: errors.CodecError) -> str:
  """An error's message, with advice where there is some; a single line."""
  advice = _ADVICE.get(type(error))
  text = f"{error}; {advice}" if advice else str(error)
  return " ".join(text.split())
