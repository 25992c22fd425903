#!/bin/sh
# Finds a Python 3.8 to 3.11 that can make an environment, and lets setup_env.py make .venv with it. `make setup` calls this.
# PYTHON=... names the interpreter to use; then no other is tried.
set -u
cd "$(dirname "$0")/.." || exit 2

# The environment itself must not be what it is made from, also where it is active.
searched=
IFS=:
for folder in ${PATH:-/usr/local/bin:/usr/bin:/bin}; do
    [ "$folder" -ef .venv/bin ] || searched="$searched${searched:+:}$folder"
done
unset IFS
PATH=$searched
export PATH

stop() {
    echo "error: $1" >&2
    exit 2
}

# 0: usable, 3: right version but without what a virtual environment needs, anything else: not a Python 3.8 to 3.11
check() {
    "$1" -c '
import sys
if not (3, 8) <= sys.version_info[:2] <= (3, 11):
    sys.exit(4)
try:
    import ctypes, ensurepip, ssl, venv
except ImportError:
    sys.exit(3)' >/dev/null 2>&1
}

incomplete=
try() {
    check "$1"
    case $? in
        0) exec "$1" scripts/setup_env.py ;;
        3) incomplete=${incomplete:-$1} ;;
    esac
}

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON"
else
    for python in python3.11 python3.10 python3.9 python3.8 python3 python; do
        try "$python"
    done
    for version in 3.11 3.10 3.9 3.8; do
        for python in "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$version".*/bin/python; do
            try "$python"
        done
    done
fi

if [ -n "$incomplete" ]; then
    stop "$incomplete lacks the modules that make an environment; install them (Debian, Ubuntu: apt-get install python3-venv)"
elif [ -n "${PYTHON:-}" ]; then
    stop "PYTHON=$PYTHON is not a Python 3.8 to 3.11; name one, or leave PYTHON out to have one looked for"
else
    stop "no Python 3.8 to 3.11 found (MXNet 1.9.1 runs on no newer one); install python3.11, or name one: make setup PYTHON=/path/to/python3.11"
fi
