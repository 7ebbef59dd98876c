"""The package: `pip install .` gives the library and the command `bls2017`."""

import pathlib

import setuptools

README = pathlib.Path(__file__).parent / "README.md"

# The latest that have both exist for Python 3.9 to 3.11. Coding needs neither.
WITH_TRAINING = "python_version < '3.12'"
WITHOUT_TRAINING = "python_version >= '3.12'"
# Where ai-edge-litert has wheels, but not for musl, which no marker knows.
WITH_LITERT = (
  "(sys_platform == 'linux' and platform_machine == 'x86_64')"
  " or (sys_platform == 'linux' and platform_machine == 'aarch64')"
  " or (sys_platform == 'darwin' and platform_machine == 'arm64')"
  " or (sys_platform == 'win32' and platform_machine == 'AMD64')"
)

SERVING = [
  f"tensorflow-serving-api==2.14.1; {WITH_TRAINING}",
  f"tensorflow-serving-api>=2.20,<3; {WITHOUT_TRAINING}",
  "requests>=2.28,<3",
]

setuptools.setup(
  name="bls2017",
  version="0.1.0",
  description=(
    "End-to-end optimized image compression (Balle, Laparra & Simoncelli,"
    " ICLR 2017) as a TensorFlow package"
  ),
  long_description=README.read_text(encoding="utf-8"),
  long_description_content_type="text/markdown",
  license="MIT",
  python_requires=">=3.9",
  packages=setuptools.find_packages(include=["bls2017*", "export*"]),
  package_data={
    "bls2017": [
      "README.md",
      "format/FORMAT.md",
      "evaluation/reference/*",
      "evaluation/templates/*",
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
    f"tensorflow==2.14.1; {WITH_TRAINING}",
    f"tensorflow-compression==2.14.1; {WITH_TRAINING}",
    f"ai-edge-litert>=2.1,<3; {WITH_LITERT}",
    f"numpy>=1.23.5,<2; {WITH_TRAINING}",
    f"numpy>=1.26,<3; {WITHOUT_TRAINING}",
    "pillow>=10.1,<14",
    "absl-py>=1.4,<3",
    "tqdm>=4.64,<5",
  ],
  extras_require={
    "test": [
      "pytest>=7.4,<10",
      "pytest-xdist>=3.7,<4",
      "hypothesis>=6.80,<7",
      "bjontegaard>=1.2,<2",
      "matplotlib>=3.7,<4",
      *SERVING,
      "apache-beam>=2.60,<3",
    ],
    "beam": ["apache-beam>=2.60,<3"],
    "eval": ["bjontegaard>=1.2,<2", "matplotlib>=3.7,<4"],
    "fuzz": ["atheris>=2.3,<4"],
    "export": [f"tensorflow>=2.20,<3; {WITHOUT_TRAINING}"],
    "serving": SERVING,
    "lint": ["ruff==0.17.6", "mypy==2.4.1", "pre-commit>=3.5,<5"],
  },
  entry_points={"console_scripts": ["bls2017 = bls2017.commands.main:main"]},
)
