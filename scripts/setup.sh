#!/bin/sh
# Create .venv with the pinned dependencies of requirements.lock and this project, editable.
# Needs Python 3.10 or newer and a package index that pip can reach; changes nothing outside .venv.
set -eu

cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
STAMP=$VENV/.installed

say() { printf 'setup: %s\n' "$*"; }

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# Runs, is new enough, and can make an environment: Debian's python3 lacks ensurepip until
# python3-venv is installed.
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }
makes_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() {
    without_venv=''
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python3.14 python}; do
        new_enough "$candidate" || continue
        if makes_venv "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
        without_venv=${without_venv:-$candidate}
    done
    [ -z "$without_venv" ] || fail "$without_venv has no venv and ensurepip modules." \
        "On Debian and Ubuntu: apt-get install python3-venv; then run make setup again."
    fail "no Python 3.10 or newer found${PYTHON:+ at PYTHON=$PYTHON}." \
        "Install one, or name it: make setup PYTHON=/path/to/python3"
}

if [ -e "$STAMP" ] && [ -z "$(find requirements.lock pyproject.toml scripts/setup.sh -newer "$STAMP")" ]; then
    exit 0
fi

if ! new_enough "$VENV/bin/python"; then
    python=$(find_python)
    say "creating $VENV with $("$python" --version)"
    "$python" -m venv --clear "$VENV"
fi
say "installing the pinned tools and dependencies of requirements.lock (about a minute)"
"$VENV/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --requirement requirements.lock
say "installing this project, editable"
"$VENV/bin/python" -m pip install --quiet --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --editable .
touch "$STAMP"
say "done: $VENV/bin/trickle-runtime, $VENV/bin/dbt, $VENV/bin/pytest"
