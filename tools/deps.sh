#!/bin/sh
# deps.sh GROUP...: see to it that what the groups need is on this machine.
#
# Finds what is missing, says so, and installs it by apt when run as root; without root it prints the
# command to type and stops. Says nothing when all is there (about 20 ms).
#
# Groups: build (programs), unit (unit tests), fuzz (clang and libFuzzer), test (all that `make test` needs).
set -eu

# A line is: groups, what proves that it is there, the package that brings it. The proof is a command's
# name, or pkg: for a package that has no command of its own.
wants() {
    cat <<'LIST'
build gcc            gcc
build meson          meson
build ninja          ninja-build
build pkg-config     pkg-config
build python3        python3
build protoc         protobuf-compiler
build pkg:           libc6-dev
build pkg:           libyaml-dev
build pkg:           libpcre2-dev
build pkg:           libc-ares-dev
build pkg:           libxxhash-dev
build pkg:           libsqlite3-dev
build protoc         protobuf-compiler
unit  pkg:           libcmocka-dev
unit  protoc-c       protobuf-c-compiler
unit  pkg:           libprotobuf-c-dev
unit  nft            nftables
fuzz  clang          clang
fuzz  pkg:           libclang-rt-14-dev
fuzz  protoc-c       protobuf-c-compiler
fuzz  pkg:           libprotobuf-c-dev
fuzz  pkg:           libnghttp2-dev
test  git            git
test  clang-format   clang-format
test  curl           curl
test  wrk            wrk
test  ip             iproute2
test  mandoc         mandoc
test  systemd-analyze systemd
test  javac          openjdk-17-jdk-headless
test  mvn            maven
test  node           nodejs
test  npm            npm
test  pkg:           python3-venv
LIST
}

groups=" $* "
case $groups in
*" test "*) groups=" $* build unit fuzz " ;;
esac

PATH=$PATH:/usr/sbin:/sbin
packages=''
missing=''
while read -r group proof package; do
    case $groups in
    *" $group "*) ;;
    *) continue ;;
    esac
    if [ "$proof" = pkg: ]; then
        packages="$packages $package"
    elif ! command -v "$proof" >/dev/null 2>&1; then
        missing="$missing $package"
    fi
done <<END
$(wants)
END

if [ -n "$packages" ]; then
    # shellcheck disable=SC2086  # a list of words on purpose
    here=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $packages 2>/dev/null || true)
    for package in $packages; do
        case "
$here
" in
        *"
$package installed
"*) ;;
        *) missing="$missing $package" ;;
        esac
    done
fi

[ -n "$missing" ] || exit 0

echo "deps: missing here:$missing"
command="apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "deps: there is no apt-get on this system; install these by its own means and try again" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "deps: not root, so nothing is installed; type this and try again:" >&2
    echo "  sudo apt-get update && sudo $command" >&2
    exit 1
fi

echo "deps: $command"
export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
apt-get update -q </dev/null
# shellcheck disable=SC2086  # a list of words on purpose
$command -q </dev/null
