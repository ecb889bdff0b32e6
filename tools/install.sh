#!/bin/sh
# install.sh install|uninstall: put the programs, the man page, the systemd unit and the user's entry under
# $DESTDIR$PREFIX, or remove exactly those. Configuration in /etc/sampan is the operator's: never touched.
set -eu
cd "$(dirname "$0")/.."

verb=${1:?install or uninstall}
prefix=${PREFIX:-/usr}
root=${DESTDIR:-}$prefix

# mode, source, place below the prefix
list() {
    cat <<'LIST'
0755 build/sampan-proxy                      bin/sampan-proxy
0755 build/sampan                            bin/sampan
0644 docs/man/sampan-proxy.8                 share/man/man8/sampan-proxy.8
0644 packaging/systemd/sampan-proxy.service  lib/systemd/system/sampan-proxy.service
0644 packaging/sysusers/sampan.conf          lib/sysusers.d/sampan.conf
0644 LICENSE                                 share/doc/sampan/LICENSE
LIST
}

case $verb in
install)
    list | while read -r mode source place; do
        install -d "$root/$(dirname "$place")"
        case $place in
        *.service)
            sed "s|@PREFIX@|$prefix|g" "$source" >"$root/$place"
            chmod "$mode" "$root/$place"
            ;;
        *) install -m "$mode" "$source" "$root/$place" ;;
        esac
        echo "install: $root/$place"
    done
    if [ -z "${DESTDIR:-}" ] && [ -d /run/systemd/system ]; then
        systemd-sysusers "$root/lib/sysusers.d/sampan.conf"
        systemctl daemon-reload
        echo "install: now write /etc/sampan/sampan-proxy.yaml and type: systemctl enable --now sampan-proxy"
    fi
    ;;
uninstall)
    list | while read -r mode source place; do
        rm -f "$root/$place"
        echo "uninstall: $root/$place"
    done
    rmdir "$root/share/doc/sampan" 2>/dev/null || true
    ;;
*)
    echo "install.sh: unknown verb '$verb'" >&2
    exit 2
    ;;
esac
