#!/usr/bin/env bash
# Installs the package into a new virtual environment of every other Python that
# is found, without extras, and runs the tests that need none. In the newest of
# them for which there is a TensorFlow, it then installs that one, runs the tests
# of the export and of `bls2017 evaluate`, and lets both TensorFlows serve what the
# other one exported. Says which Pythons it ran. Needs a package index.
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

# Runs tests, of the installed package and not of the one beside them.
#   run_tests VENV ARGUMENT...
run_tests() {
  (cd "$temporary" && "$1/bin/python" -m pytest -p no:cacheprovider -p tests.light \
    -o addopts= -q -m 'not node and not cc and not torch' "${@:2}")
}

megabytes() { du -sm "$1" | cut -f1; }

(($#)) || mapfile -t found < <(find_pythons)
(($#)) || set -- "${found[@]}"

cp -r --parents tests .pytest.ini "$temporary"
old=    # The environment of a Python for which there is TensorFlow 2.14.1.
newer=()  # Those of later Pythons, the newest first.
ran=()
for python in "$@"; do
  venv="$temporary/venv${#ran[@]}"
  "$python" -m venv "$venv"
  started=$SECONDS
  "$venv/bin/pip" install -q .
  ran+=("$("$python" -V): installed in $((SECONDS - started)) s, $(megabytes "$venv") MB")
  "$venv/bin/pip" install -q 'pytest>=7.4,<10' 'pytest-timeout>=2.3,<3' \
    'hypothesis>=6.80,<7'
  run_tests "$venv" tests/bls2017 tests/conformance tests/fuzz
  if "$venv/bin/python" -c "import sys; sys.exit(sys.version_info < (3, 12))"
  then
    newer=("$venv" "${newer[@]}")
  else
    old=$venv
  fi
done

for venv in "${newer[@]}"; do
  # TensorFlow comes to a new Python later than Python does.
  "$venv/bin/pip" install -q '.[export,serving,test]' || continue
  run_tests "$venv" tests/export tests/conformance \
    tests/bls2017/commands/test_evaluate_command.py
  if [[ $old ]]; then
    "$old/bin/pip" install -q '.[export]'
    cd "$temporary"
    "$old/bin/python" -m tests.export.other_tensorflow "$venv/bin/python"
    "$venv/bin/python" -m tests.export.other_tensorflow "$old/bin/python"
  fi
  ran+=("$("$venv/bin/python" -V), the export: $("$venv/bin/pip" freeze |
    grep '^tensorflow=='), $(megabytes "$venv") MB")
  newer=()
  break
done
if ((${#newer[@]})); then
  echo "no TensorFlow for any Python of 3.12 or later" >&2
  exit 1
fi
printf '%s\n' "${ran[@]}"
