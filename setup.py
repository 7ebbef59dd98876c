"""The package: `pip install .` gives the library and the command `bls2017`."""

import pathlib

import setuptools

README = pathlib.Path(__file__).parent / "README.md"

# tensorflow-compression and its TensorFlow exist for Python 3.9 to 3.11.
# Only training needs them.
TRAINS = "python_version < '3.12'"
ONLY_CODES = "python_version >= '3.12'"

TENSORFLOW = [
  f"tensorflow==2.14.1; {TRAINS}",
  f"numpy<2; {TRAINS}",
  f"tensorflow>=2.20,<3; {ONLY_CODES}",
]
TRAIN = [*TENSORFLOW[:2], f"tensorflow-compression==2.14.1; {TRAINS}"]
EVAL = ["bjontegaard>=1.2,<2", "matplotlib>=3.7,<4"]
BEAM = ["apache-beam>=2.60,<3"]
SERVING = [
  f"tensorflow-serving-api==2.14.1; {TRAINS}",
  f"tensorflow-serving-api>=2.20,<3; {ONLY_CODES}",
  "requests>=2.28,<3",
]

setuptools.setup(
  name="bls2017",
  version="0.1.0",
  description=(
    "End-to-end optimized image compression (Balle, Laparra & Simoncelli,"
    " ICLR 2017)"
  ),
  long_description=README.read_text(encoding="utf-8"),
  long_description_content_type="text/markdown",
  license="MIT",
  python_requires=">=3.9",
  packages=setuptools.find_packages(include=["bls2017*", "export*"]),
  package_data={
    "bls2017": [
      "README.md",
      "evaluation/reference/*",
      "evaluation/templates/*",
      "format/FORMAT.md",
      "format/build_range_coder.sh",
      "format/range_coder.c",
      "format/range_coder.wasm",
      "pretrained/*",
      "pretrained/*/*",
      "py.typed",
      "training/README.md",
      "training/*.png",
    ],
    "export": [
      "README.md",
      "py.typed",
      "serving/*",
      "web/README.md",
      "web/site/**/*",
    ],
  },
  install_requires=[
    "ai-edge-litert>=2.1,<3",
    "wasmtime>=45,<60",
    "numpy>=1.23.5,<3",
    # Pillow 13 applies its own limit of pixels while it opens WebP.
    "pillow>=11.3,<13",
    "absl-py>=1.4,<3",
    "tqdm>=4.64,<5",
  ],
  extras_require={
    "train": TRAIN,
    "export": TENSORFLOW,
    "eval": EVAL,
    "serving": SERVING,
    "beam": BEAM,
    "test": [
      "pytest>=7.4,<10",
      "pytest-timeout>=2.2,<3",
      "pytest-xdist>=3.7,<4",
      "hypothesis>=6.80,<7",
      *TENSORFLOW,
      *TRAIN,
      *EVAL,
      *SERVING,
      *BEAM,
    ],
    "fuzz": ["atheris>=2.3,<4"],
    "lint": ["ruff==0.17.6", "mypy==2.4.1", "pre-commit>=3.5,<5"],
  },
  entry_points={"console_scripts": ["bls2017 = bls2017.commands.main:main"]},
)
