# Sourced by demo and test: makes .venv and installs the package with the extras named.
prepare_environment() {
    local python=${PYTHON:-python3}
    if ! "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; then
        echo "$0: needs Python 3.11 or newer with venv; set PYTHON to one" >&2
        exit 1
    fi
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$1"
}
