#!/bin/sh
# Builds the programs of the interop tests into build/e2e (or $E2E_OUT). Does nothing where nothing changed.
#
#   tests/e2e/build.sh            all of them
#   tests/e2e/build.sh java node  only these: java spring node python
#
# Each part has a stamp with a digest of its sources; a part whose digest is unchanged is left alone. Maven and
# npm try what they have kept before they ask a registry.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${E2E_OUT:-$(cd "$here/../.." && pwd)/build/e2e}
mkdir -p "$out"

digest() { # of the sources of the folders given
    (
        cd "$here"
        find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
        echo "$here $out"
    ) | sha256sum | cut -d' ' -f1
}

fresh() { # name digest product: true where the product is of these sources
    [ -e "$3" ] && [ "$(cat "$out/$1.stamp" 2>/dev/null)" = "$2" ]
}

need() { # name command: says what is missing
    command -v "$2" >/dev/null 2>&1 || { echo "e2e: $1 needs $2" >&2; exit 1; }
}

maven() { # folder product-folder: from what is kept first, then with the network
    cd "$here/$1"
    mvn -q -B -o -De2e.out="$2" package >"$out/maven.log" 2>&1 ||
        mvn -q -B -De2e.out="$2" package >"$out/maven.log" 2>&1 ||
        { cat "$out/maven.log" >&2; exit 1; }
}

build_java() {
    d=$(digest java checks)
    if fresh java "$d" "$out/java/app.jar"; then return; fi
    need java mvn
    echo "e2e: build java"
    rm -rf "$out/java"
    maven java "$out/java"
    echo "$d" >"$out/java.stamp"
}

build_spring() {
    d=$(digest spring checks)
    if fresh spring "$d" "$out/spring/spring-client/spring-client.jar"; then return; fi
    need spring mvn
    echo "e2e: build spring"
    rm -rf "$out/spring"
    maven spring "$out/spring"
    echo "$d" >"$out/spring.stamp"
}

build_node() {
    d=$(digest node)
    if fresh node "$d" "$out/node/node_modules/ws/package.json"; then return; fi
    need node npm
    echo "e2e: build node"
    mkdir -p "$out/node"
    cp "$here"/node/*.js "$here"/node/*.json "$here/node/.npmrc" "$out/node/"
    (cd "$out/node" && npm ci --silent --prefer-offline --ignore-scripts)
    echo "$d" >"$out/node.stamp"
}

build_python() {
    d=$(digest python)
    if fresh python "$d" "$out/python/bin/python"; then return; fi
    need python python3
    echo "e2e: build python"
    rm -rf "$out/python"
    python3 -m venv "$out/python"
    "$out/python/bin/pip" install -q -r "$here/python/requirements.txt"
    echo "$d" >"$out/python.stamp"
}

[ $# -gt 0 ] || set -- java spring node python
for part in "$@"; do
    case $part in
    java | spring | node | python) "build_$part" ;;
    *) echo "e2e: unknown part: $part" >&2; exit 2 ;;
    esac
done
