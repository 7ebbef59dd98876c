"""Errors of the library, each with the exit code its command ends with.

Every error a user can cause or meet derives from `CodecError`. Its message is
one line that says what is wrong and, where something can be done, what. The
exit codes are the interface of the commands: 2 usage, 3 unreadable input,
4 corrupt or foreign bitstream, 5 over a limit, 6 output, 7 training,
8 verification.
"""


class CodecError(Exception):
  """Base of all errors of this package."""

  exit_code = 1


class UsageError(CodecError):
  """Arguments that make no sense together, or out of their range."""

  exit_code = 2


class UnreadableInputError(CodecError):
  """An input file that is missing or is not an image this package reads."""

  exit_code = 3


class BitstreamError(CodecError):
  """Bytes that are not a whole, unchanged bitstream of this format."""

  exit_code = 4


class ForeignModelError(BitstreamError):
  """A sound bitstream that was written with another model."""


class ModelError(CodecError):
  """A model directory or checkpoint that is missing, broken or not finite."""

  exit_code = 3


class MissingPackageError(CodecError):
  """Something needs a package that is not installed, or not for this Python."""

  exit_code = 2


class LimitError(CodecError):
  """An image or a bitstream beyond a limit of the format or of the caller."""

  exit_code = 5


class OutputError(CodecError):
  """An output that cannot be written."""

  exit_code = 6


class OutputExistsError(OutputError):
  """The output exists and overwriting was not requested."""


class TrainingError(CodecError):
  """Training that cannot go on, for example because its loss is not finite."""

  exit_code = 7


class VerificationError(CodecError):
  """A file that does not decode to what was encoded; it was not written."""

  exit_code = 8
