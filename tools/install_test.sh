#!/bin/sh
# Tests of `make install`: into a folder of its own, for two prefixes; what is there, with which mode, and
# that uninstall leaves nothing. Ends with `N passed, N failed`.
set -u
cd "$(dirname "$0")/.."

passed=0
failed=0
check() {
    what=$1
    shift
    if "$@" >"$place/said" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
        sed 's/^/    /' "$place/said"
    fi
}

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT INT TERM

wanted() {
    cat <<LIST
755 $1/bin/sampan
755 $1/bin/sampan-proxy
755 $1/libexec/sampan/demo-front
755 $1/libexec/sampan/demo-price
755 $1/libexec/sampan/demo-stock
644 $1/lib/systemd/system/sampan-proxy.service
644 $1/lib/sysusers.d/sampan.conf
644 $1/share/doc/sampan/LICENSE
644 $1/share/man/man1/sampan.1
644 $1/share/man/man8/sampan-proxy.8
LIST
    find examples -name '*.yaml' | sed "s|^|644 $1/share/doc/sampan/|"
}

same_list() {
    (cd "$place/root" && find . -type f -exec stat -c '%a %n' {} + | sed 's|\./|/|' | sort -k2) >"$place/list"
    wanted "$1" | sort -k2 | diff - "$place/list"
}

installs() {
    DESTDIR=$place/root PREFIX=$1 tools/install.sh install
}

for prefix in /usr /opt/sampan; do
    unit=$place/root$prefix/lib/systemd/system/sampan-proxy.service
    rm -rf "$place/root"
    check "install under $prefix" installs "$prefix"
    check "under $prefix are these files with these modes" same_list "$prefix"
    check "the unit calls the program under $prefix" \
        grep -q "^ExecStart=$prefix/bin/sampan-proxy " "$unit"
    check "no placeholder is left in the unit" \
        sh -c "! grep @PREFIX@ '$unit'"
    check "the installed sidecar runs" "$place/root$prefix/bin/sampan-proxy" --version
    check "the installed control program runs" "$place/root$prefix/bin/sampan" --version
    check "the installed demo finds its services" "$place/root$prefix/bin/sampan" demo --for 1
    check "the installed sidecar takes the installed examples" \
        "$place/root$prefix/bin/sampan-proxy" -c "$place/root$prefix/share/doc/sampan/examples/sidecar.yaml" \
        --mode validate
    DESTDIR=$place/root PREFIX=$prefix tools/install.sh uninstall >/dev/null
    check "uninstall under $prefix leaves no file" \
        sh -c "test -z \"\$(find '$place/root' -type f -o -type l)\""
    check "uninstall under $prefix leaves no folder of ours" \
        sh -c "test -z \"\$(find '$place/root$prefix' -mindepth 1 -name sampan)\""
done

check "the man pages have no fault that mandoc knows" mandoc -T lint -W warning docs/man/*
# The unit as it is installed, but with a program that surely exists, since verify looks for it.
unit_holds() {
    sed -e 's|@PREFIX@/bin/sampan-proxy|/bin/true|' packaging/systemd/sampan-proxy.service \
        >"$place/sampan-proxy.service"
    systemd-analyze verify --man=no "$place/sampan-proxy.service"
}
check "systemd understands the unit" unit_holds

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
