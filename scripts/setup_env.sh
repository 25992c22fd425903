#!/bin/sh
# Finds a Python 3.8 to 3.11 that can make an environment, and lets setup_env.py make .venv with it. `make setup` calls this.
# Where there is none, as on machines of today, uv makes one in the folder .uv: the uv on PATH, or the version pinned in
# constraints.txt, installed there from the package index by whatever Python there is.
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

# uv, once it is there: a command of its own or one in .uv, installed by a Python of any version
find_uv() {
    command -v uv && return
    for python in python3 python python3.14 python3.13 python3.12; do
        command -v "$python" >/dev/null || continue
        [ -x .uv/bin/uv ] || "$python" -m pip install --target .uv --no-input -c constraints.txt uv >>.uv/log 2>&1 ||
            { "$python" -m venv .uv && .uv/bin/python -m pip install --no-input -c constraints.txt uv; } >>.uv/log 2>&1
        [ -x .uv/bin/uv ] && echo .uv/bin/uv && return
    done
    return 1
}

made=.uv/python3.11/bin/python
make_python() {
    { mkdir -p .uv && : >.uv/log; } 2>/dev/null || return
    uv=$(find_uv) || return
    echo "no Python 3.8 to 3.11 found: uv makes a 3.11 in .uv"
    UV_PYTHON_INSTALL_DIR="$PWD/.uv/pythons" "$uv" venv --no-project --python 3.11 .uv/python3.11 >>.uv/log 2>&1
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
    try "$made"
    make_python && try "$made"
fi

ways="install it with its venv module (Debian, Ubuntu: apt-get install python3.11-venv; conda create -n fg python=3.11; uv python install 3.11; pyenv install 3.11)"
if [ -n "${PYTHON:-}" ] && [ -z "$incomplete" ]; then
    stop "PYTHON=$PYTHON is not a Python 3.8 to 3.11; name one, or leave PYTHON out to have one looked for or made"
elif [ -n "$incomplete" ]; then
    stop "$incomplete lacks the modules that make an environment; install them (Debian, Ubuntu: apt-get install python3-venv)"
else
    stop "no Python 3.8 to 3.11 found (MXNet 1.9.1 runs on no newer one), and uv could not make one here (see .uv/log); $ways, or name one: make setup PYTHON=/path/to/python3.11"
fi
