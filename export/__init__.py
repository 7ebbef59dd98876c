"""Export of frozen models: SavedModels for TF Serving, sites for browsers.

    from bls2017.model import model_directory
    from export import export_model

    export_model.export(model_directory.load(), "models/bls2017")

Importing this package imports nothing that takes time.
"""

DEFAULT_MAX_PIXELS = 2**22
"""Images of more pixels are refused by an export, unless it says otherwise."""

FORMATS = ("serving", "web")
"""Of an export: a version for a model server, or a site for browsers."""

SIGNATURES = (
  "serving_default",
  "compress",
  "decompress",
  "decompress_to_jpeg",
  "compress_image",
  "decompress_image",
  "info",
)
