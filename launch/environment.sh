# Sourced by the scripts beside it: the virtual environment .venv and its packages.

# XLA keeps what it compiled; a second start then takes seconds.
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$PWD/.cache/jax}"
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.5

# The memory of a step comes and goes with each step; huge pages make that cheap on CPU
# (benchmarks/RESULTS.md). Understood by glibc 2.35 and newer, ignored elsewhere.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"

# install REQUIREMENTS: makes .venv, activates it, and installs what is not there yet.
install() {
    local python stamp
    if [[ ! -x .venv/bin/python ]]; then
        python="$(find_python)"
        echo "Making .venv with $("$python" --version)"
        "$python" -m venv .venv || { rm -rf .venv; return 1; }
    fi
    source .venv/bin/activate
    stamp=".venv/installed-$(cat requirements.txt "$1" | cksum | cut -d' ' -f1)"
    if [[ ! -e "$stamp" ]]; then
        echo "Installing $1 (a minute or two)"
        python -m pip install --quiet --disable-pip-version-check -r "$1"
        touch "$stamp"
    fi
}

# $PYTHON, or the first Python on the path that is at least 3.11.
find_python() {
    local name
    for name in "${PYTHON:-}" python3 python3.12 python3.13 python3.11 python; do
        if [[ -n "$name" ]] && "$name" -c \
            'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "error: no Python >= 3.11 found; install one, or set PYTHON=/path/to/it" >&2
    return 78
}
