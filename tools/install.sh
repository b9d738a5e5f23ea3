#!/bin/sh
# Makes sure that the local stack's programs are installed: PostgreSQL, Java 17 or later, Maven. As root it installs
# missing packages with apt; otherwise it prints one line that says what to install. It is quick if nothing is missing.
# With the argument `tests` it also checks what only the tests need. Other arguments are packages known to be missing.
set -eu

missing=""
for package; do
    [ "$package" = tests ] || missing="$missing $package"
done
if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && ! command -v postgres >/dev/null; then
    missing="$missing postgresql"
fi
java_version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
if [ "${java_version:-0}" -lt 17 ]; then
    missing="$missing default-jre-headless"
fi
command -v mvn >/dev/null || missing="$missing maven"
if [ "${1:-}" = tests ]; then
    command -v chromium >/dev/null || missing="$missing chromium"
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
    command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
    command -v curl >/dev/null || missing="$missing curl"
    command -v openssl >/dev/null || missing="$missing openssl"
    java --list-modules 2>/dev/null | grep -q "^jdk.compiler@" || missing="$missing default-jdk-headless"
fi
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Please install:$missing (on Debian: sudo apt-get install$missing)" >&2
    exit 1
fi
echo "Installing$missing with apt"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    exit 1
fi
rm -f "$log"
