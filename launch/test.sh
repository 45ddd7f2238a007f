#!/usr/bin/env bash
# Installs what the tests need and runs them; --all adds the long ones.
# Needs Python 3.11 or newer with pip; works from any directory and a second time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh

# The tests of the demo look at it in a browser; without one they are skipped.
install_browser() {
    if { command -v chromium && command -v chromedriver; } >/dev/null ||
        [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        return
    fi
    echo "Installing chromium (a minute)"
    local -x DEBIAN_FRONTEND=noninteractive
    local get=(apt-get -qq -o Acquire::Retries=0)
    get+=(-o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10)
    local packages=(install -y --no-install-recommends chromium chromium-driver)
    # Only the network may take too long: what is there is installed to its end.
    {
        timeout --foreground 120 "${get[@]}" update &&
            timeout --foreground 180 "${get[@]}" "${packages[@]}" --download-only &&
            "${get[@]}" "${packages[@]}" --no-download
    } </dev/null &>/dev/null || echo "  not possible here; its tests will be skipped"
}

install tests/requirements.txt
install_browser
ruff check .
ruff format --check .
# Two processes: half of the time goes to compilations, which one core makes.
# In the order of the files: else those of few and long tests, end to end, come last,
# where one process waits for the other.
python -m pytest --durations=15 --numprocesses=2 --dist=loadfile \
    --no-loadscope-reorder "$@"
