#!/usr/bin/env bash
# Installs the package into a new virtual environment of every other Python that
# is found, with what it brings there, and runs the tests that need no TensorFlow.
# The newest of 3.12 and later for which there is a TensorFlow then runs the tests
# of the export and of `bls2017 evaluate` with that one, but for those of
# tensorflow-compression, and answers as the older TensorFlow does that exported,
# and the other way round. Says which Pythons it ran. Needs a package index.
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

# The installed package is tested, not the one beside the tests.
cp -r --parents tests .pytest.ini "$temporary"
trained=  # The environment of a Python that has tensorflow-compression.
newer=()  # Those of Pythons that have not, the newest first.
ran=()
for python in "$@"; do
  venv="$temporary/venv${#ran[@]}"
  "$python" -m venv "$venv"
  started=$SECONDS
  "$venv/bin/pip" install -q . 'pytest>=7.4,<10' 'hypothesis>=6.80,<7'
  took=$((SECONDS - started))
  (cd "$temporary" &&
    "$venv/bin/python" -m pytest -p no:cacheprovider -o addopts= -q tests/light)
  size=$(du -sm "$venv" | cut -f1)
  ran+=("$("$python" -V): installed in $took s, $size MB")
  if "$venv/bin/python" -c "import sys; sys.exit(sys.version_info < (3, 12))"
  then
    newer=("$venv" "${newer[@]}")
  else
    trained=$venv
  fi
done

for venv in "${newer[@]}"; do
  # TensorFlow comes to a new Python later than Python does.
  "$venv/bin/pip" install -q '.[export,serving,test]' || continue
  cd "$temporary"
  # The joined model is trained; files of several pairs are in the conformance set.
  "$venv/bin/python" -m pytest -p no:cacheprovider -m 'not node and not tfc' \
    --ignore=tests/export/test_joined_model.py \
    tests/export tests/conformance tests/bls2017/commands/test_evaluate_command.py
  if [[ $trained ]]; then
    "$trained/bin/python" -m tests.export.other_tensorflow "$venv/bin/python"
    "$venv/bin/python" -m tests.export.other_tensorflow "$trained/bin/python"
  fi
  ran+=("$("$venv/bin/python" -V), the export: $("$venv/bin/pip" freeze |
    grep '^tensorflow=='), $(du -sm "$venv" | cut -f1) MB")
  newer=()
  break
done
if ((${#newer[@]})); then
  echo "no TensorFlow for any Python of 3.12 or later" >&2
  exit 1
fi
printf '%s\n' "${ran[@]}"
