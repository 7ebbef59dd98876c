#!/usr/bin/env bash
# Installs the package into a new virtual environment of every other Python that
# is found, with what it brings there, and runs the tests that need no TensorFlow.
# Says which Pythons it ran. Needs a package index.
#
#   tests/run_other_pythons.sh [PYTHON...]
set -euo pipefail
cd "$(dirname "$0")/.."

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

# Those of pyenv are found without being switched on.
find_pythons() {
  local version python
  for version in 3.9 3.10 3.12 3.13 3.14; do
    for python in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python \
        "$(command -v "python$version" || true)"; do
      if [[ -x $python ]] && "$python" -c "" 2> /dev/null; then
        echo "$python"
        break
      fi
    done
  done
}

(($#)) || mapfile -t found < <(find_pythons)
(($#)) || set -- "${found[@]}"
ran=()
for python in "$@"; do
  venv="$temporary/venv${#ran[@]}"
  "$python" -m venv "$venv"
  started=$SECONDS
  "$venv/bin/pip" install -q . 'pytest>=7.4,<10' 'hypothesis>=6.80,<7'
  took=$((SECONDS - started))
  # The installed package is tested, not the one beside the tests.
  mkdir -p "$temporary/tree${#ran[@]}"
  cp -r tests "$temporary/tree${#ran[@]}"
  (cd "$temporary/tree${#ran[@]}" &&
    "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/light)
  size=$(du -sm "$venv" | cut -f1)
  ran+=("$("$python" -V): installed in $took s, $size MB")
done
printf '%s\n' "${ran[@]}"
