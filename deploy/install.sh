#!/bin/sh
# Install or upgrade the gateway on this Debian or Ubuntu machine as a systemd service:
#     sudo deploy/install.sh
# Idempotent. What you have set (/etc/pacs-gateway) and stored (/var/lib/pacs-gateway) is never changed by it.
# DESTDIR=/folder puts the files below that folder, needs no root, and touches neither users nor services.
set -eu

source=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
root=${DESTDIR:-}
home=$root/opt/pacs-gateway
settings=$root/etc/pacs-gateway/pacs.toml
user=pacs-gateway
python=${PYTHON:-python3}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

prepare_machine() {
    [ "$(id -u)" = 0 ] || fail "run it as root: sudo deploy/install.sh"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        command -v apt-get >/dev/null || fail "install Python 3.11 or newer with its venv module first"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv
    fi
    if ! getent passwd "$user" >/dev/null; then
        useradd --system --user-group --home-dir /var/lib/pacs-gateway --no-create-home --shell /usr/sbin/nologin "$user"
    fi
}

# A name for exactly this code, so that an upgrade never changes the release that is running.
release_name() {
    cd "$source"
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
    # Not by what is made of it: a viewer that was prepared in the source is the same release.
    digest=$(find pyproject.toml requirements.lock pacs_gateway viewer_api -type f ! -name '*.pyc' \
        ! -path '*/viewer/prepared/*' ! -name '.viewer*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
    echo "$version-$digest"
}

install_release() {
    release=$home/$1
    [ ! -e "$release/.complete" ] || return 0
    echo "installing $1"
    rm -rf "$release"
    "$python" -m venv "$release"
    # Built from a copy: an old build folder in the source must not slip into the release.
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp -R "$source/pyproject.toml" "$source/README.md" "$source/LICENSE" "$source/pacs_gateway" "$source/viewer_api" "$copy"
    sed '/^# --- /,$d' "$source/requirements.lock" >"$copy/runtime.lock"
    pip="$release/bin/python -m pip --disable-pip-version-check"
    # shellcheck disable=SC2086 # a command and its options
    $pip install --quiet --require-hashes --only-binary :all: -r "$copy/runtime.lock"
    # shellcheck disable=SC2086
    $pip install --quiet --no-deps --no-build-isolation "$copy"
    if ! command -v npm >/dev/null; then
        sed '1,/^# --- viewer/d; /^# --- test/,$d' "$source/requirements.lock" >"$copy/viewer.lock"
        # shellcheck disable=SC2086
        $pip install --quiet --require-hashes --only-binary :all: -r "$copy/viewer.lock"
    fi
    # Images are received and shown without it too: no reason to leave a hospital without its archive.
    "$release/bin/pacs-gateway" viewer install || echo "later: $home/current/bin/pacs-gateway viewer install" >&2
    touch "$release/.complete"
}

# The release before stays for a way back; older ones go.
switch_to() {
    before=$(readlink "$home/current" || true)
    [ "$before" != "$1" ] || return 0
    ln -sfn "$1" "$home/current.new"
    mv -T "$home/current.new" "$home/current"
    is_changed=yes
    for old in "$home"/*/; do
        case $(basename "$old") in "$1" | "$before" | current) ;; *) rm -rf "$old" ;; esac
    done
}

install_files() {
    install -d -m 0755 "$root/etc/systemd/system" "$root/usr/local/bin"
    install -d -m 0750 "$(dirname "$settings")"
    install -m 0644 "$source"/deploy/systemd/*.service "$root/etc/systemd/system"
    install -m 0755 "$source/deploy/systemd/pacs-gateway" "$root/usr/local/bin"
    if [ ! -e "$settings" ]; then
        install -m 0640 "$source/deploy/systemd/pacs.toml" "$settings"
        is_first=yes
    fi
}

start() {
    chgrp "$user" "$(dirname "$settings")" "$settings"
    install -d -m 0750 -o "$user" -g "$user" /var/lib/pacs-gateway
    if [ "$is_first" = yes ]; then
        echo "the first administrator, with a password for one login:"
        # Without its settings the next run is a first one again.
        /usr/local/bin/pacs-gateway user add admin --role administrator || { rm "$settings"; fail "not finished"; }
    fi
    if [ ! -d /run/systemd/system ]; then
        echo "systemd does not run here: nothing was started"
        return 0
    fi
    systemctl daemon-reload
    if [ "$is_first" = yes ]; then
        systemctl enable --now pacs-gateway.service
    elif [ "$is_changed" = yes ]; then
        systemctl try-restart pacs-gateway.service 'pacs-gateway@*.service'
    fi
}

is_first=no is_changed=no
[ -n "$root" ] || prepare_machine
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed"
install -d -m 0755 "$home"
name=$(release_name)
install_release "$name"
switch_to "$name"
install_files
[ -n "$root" ] || start
echo "pacs-gateway $name is installed; settings: $settings"
