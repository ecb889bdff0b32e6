#!/bin/sh
# install.sh install|uninstall: put the programs, their pages, the examples, the systemd unit and the user's
# entry under $DESTDIR$PREFIX, or remove exactly those. Configuration in /etc/sampan is the operator's: never
# touched. The demo's services are not for typing, so they go to libexec, where `sampan demo` looks for them.
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
0755 build/examples/demo-front               libexec/sampan/demo-front
0755 build/examples/demo-price               libexec/sampan/demo-price
0755 build/examples/demo-stock               libexec/sampan/demo-stock
0644 docs/man/sampan.1                       share/man/man1/sampan.1
0644 docs/man/sampan-proxy.8                 share/man/man8/sampan-proxy.8
0644 packaging/systemd/sampan-proxy.service  lib/systemd/system/sampan-proxy.service
0644 packaging/sysusers/sampan.conf          lib/sysusers.d/sampan.conf
0644 LICENSE                                 share/doc/sampan/LICENSE
LIST
    find examples -name '*.yaml' | sort | sed 's|.*|0644 & share/doc/sampan/&|'
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
    [ -z "${DESTDIR:-}" ] || exit 0
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "$root/lib/sysusers.d/sampan.conf"
    fi
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        echo "install: now write /etc/sampan/sampan-proxy.yaml and type: systemctl enable --now sampan-proxy"
    fi
    ;;
uninstall)
    list | while read -r mode source place; do
        rm -f "$root/$place"
        echo "uninstall: $root/$place"
    done
    for folder in share/doc/sampan/examples/pair share/doc/sampan/examples share/doc/sampan libexec/sampan; do
        rmdir "$root/$folder" 2>/dev/null || true
    done
    ;;
*)
    echo "install.sh: unknown verb '$verb'" >&2
    exit 2
    ;;
esac
