"""What an evaluation measures, and where it leaves it."""

from __future__ import annotations

import dataclasses

from bls2017.common import config

STUDIES = ("relaxation", "transforms", "densities")


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """What is asked for; fields without an entry here are `config.setting`s.

  Attributes:
    images: Pattern of the files.
    output_dir: Where everything goes; created where it is missing.
    models: Names or directories of models; none for the default one.
    qualities: By name of the codec, where its own are not to be used.
  """

  images: str
  output_dir: str
  models: tuple[str, ...] = ()
  qualities: dict[str, tuple[float, ...]] = dataclasses.field(
    default_factory=dict
  )
  codecs: tuple[str, ...] | None = config.setting(
    None,
    "Of bls2017, jpeg, jpeg444, jpeg2000, webp, avif, jpegxl (with a plug-in),"
    " jpeg_standard_tables, jpeg2000_reversible. By default the first seven, as"
    " far as they are installed.",
  )
  workers: int | None = config.setting(
    None, "Processes; one per core.", at_least=1
  )
  compare_images: tuple[str, ...] | None = config.setting(
    None,
    "Names of the images shown side by side in the report; the first two by"
    " default, and none for ''.",
  )
  compare_bpp: tuple[float, ...] = config.setting(
    (0.25, 0.6), "Rates at which they are compared.", parse=config.number
  )
  figure: str | None = config.setting(
    None, "Name of an image to draw under all codecs: figure.jpg."
  )
  figure_bpp: float = config.setting(
    0.113, "Rate of the figure.", positive=True
  )
  study: str | None = config.setting(
    None,
    "relaxation: the relaxed rate and distortion against the quantized ones (of"
    " the run in --train_dir); transforms: GDN, ReLU and linear; densities:"
    " deep factorized and piecewise-linear. The last two train small models.",
    choices=STUDIES,
  )
  train_dir: str | None = config.setting(
    None, "Run of bls2017 train, for --study=relaxation."
  )
  train_images: str | None = config.setting(
    None, "Pattern of photographs for the small models."
  )
  study_steps: int = config.setting(3000, "Of a small model.", at_least=1)

  def __post_init__(self) -> None:
    """Raises errors.UsageError if a value is out of its range."""
    config.check(self)
    rates = (*self.compare_bpp, self.figure_bpp)
    config.require(min(rates) > 0, "a rate must be positive")
