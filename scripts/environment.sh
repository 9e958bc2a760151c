# Sourced by demo, test and .ci/run.

# Makes .venv and installs the package with the extras named.
prepare_environment() {
    local python=${PYTHON:-python3}
    if ! "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; then
        echo "$0: needs Python 3.11 or newer with venv; set PYTHON to one" >&2
        exit 1
    fi
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$1"
}

# Brings PyTorch, on whose processor device the code for graphics cards is tested, Triton, whose
# interpreter runs the kernels for them, and torchnmf, beside which patterns and moving templates are.
# Those tests are skipped with a reason where they cannot be had within five minutes each. They are not
# in the extra `dev`: where PyTorch's build for cards is the default, it takes gigabytes (and brings
# the Triton it was made for).
prepare_torch() {
    bring torchnmf 'torch==2.13.0' 'torchnmf==0.3.5'
    bring triton 'triton==3.9.0'
}

# Installs packages unless a module is there.
bring() {
    if .venv/bin/python -c "import $1" 2> /dev/null; then return; fi
    if ! timeout 300 .venv/bin/python -m pip install --quiet --disable-pip-version-check "${@:2}"; then
        echo "$0: $1 cannot be installed; tests that need it are skipped" >&2
    fi
}

# Brings Chromium for the browser tests where Debian's packages can be installed; they are skipped
# with a reason where it cannot be had, so nothing here fails.
prepare_browser() {
    local name root=()
    for name in chromium chromium-browser google-chrome-stable google-chrome; do
        if command -v "$name" > /dev/null; then return; fi
    done
    if ! command -v apt-get > /dev/null; then return; fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2> /dev/null; then return; fi
        root=(sudo -n)
    fi
    if ! { ${root[@]+"${root[@]}"} apt-get -qq update &&
        ${root[@]+"${root[@]}"} env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq install -y chromium; } > /dev/null 2>&1 < /dev/null; then
        echo "$0: Chromium cannot be installed; the browser tests are skipped" >&2
    fi
}
