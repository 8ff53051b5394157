#!/bin/sh
# Install the real peers the tests talk to, where this machine allows it (root or sudo, Debian or Ubuntu).
# What cannot be installed is skipped by its tests, with the reason in pytest's summary.
set -u

# What has no package is built, where Go is there, once per machine.
build() { # program, module@version
    if command -v "$1" >/dev/null 2>&1 || [ -x ".venv/bin/$1" ]; then return; fi
    if ! command -v go >/dev/null 2>&1; then
        echo "Go is not on this machine: tests that need $1 are skipped" >&2
        return
    fi
    bin=/usr/local/bin
    [ -w "$bin" ] || bin=$PWD/.venv/bin
    echo "building $1" >&2
    log=$(mktemp)
    if ! CGO_ENABLED=0 GOBIN=$bin go install -ldflags "-s -w" "$2" >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        echo "could not build $1: its tests are skipped" >&2
    fi
    rm -f "$log"
}

# A client in JavaScript, as its lock says; its tests find it beside the interpreter's other programs.
install_dcmjs_dimse() {
    source=tests/support/dcmjs_dimse
    target=.venv/dcmjs_dimse
    if cmp -s "$source/package-lock.json" "$target/package-lock.json"; then return; fi
    if ! command -v npm >/dev/null 2>&1; then
        echo "npm is not on this machine: tests that need dcmjs-dimse are skipped" >&2
        return
    fi
    echo "installing dcmjs-dimse" >&2
    log=$(mktemp)
    rm -rf "$target" "$target.new"
    mkdir -p "$target.new"
    cp "$source/package.json" "$source/package-lock.json" "$source/.npmrc" "$target.new"
    # It takes its place when it is whole: what was cut short is done again.
    if (cd "$target.new" && npm ci --ignore-scripts --no-audit --no-fund) >"$log" 2>&1; then
        mv "$target.new" "$target"
    else
        tail -n 5 "$log" >&2
        echo "could not install dcmjs-dimse: its tests are skipped" >&2
    fi
    rm -f "$log"
}

# Some ten minutes on two cores. This is the last state of its community edition; the tags of its releases are no
# versions to the Go module proxy.
build minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
build kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.7.1

missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need storescu dcmtk
need dciodvfy dicom3tools
need Orthanc orthanc
need odil odil
need npm npm
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing="$missing orthanc-dicomweb"
need chromium chromium
need strace strace
need wrk wrk
need sqlite3 sqlite3
need systemd-analyze systemd
need openssl openssl
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
[ -x /usr/sbin/haproxy ] || missing="$missing haproxy"

install_packages() {
    if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo"; else
        echo "not root: tests that need$missing are skipped" >&2
        return
    fi
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "no apt-get: tests that need$missing are skipped" >&2
        return
    fi
    echo "installing$missing" >&2
    log=$(mktemp)
    # Services that the packages would start are not wanted: every test starts its own on a free port.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    # shellcheck disable=SC2086 # a list of words, and sudo or nothing
    if ! { $as_root apt-get update && $as_root apt-get install -y --no-install-recommends $missing fonts-dejavu-core; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        echo "could not install all of$missing: their tests are skipped" >&2
    fi
    rm -f "$log"
}

[ -z "$missing" ] || install_packages
install_dcmjs_dimse
