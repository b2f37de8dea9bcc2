#!/bin/sh
# Get redis-server 8.0 and valkey-server 8.1 of Debian 13 into FOLDER/bin, on any Debian, without root.
# What is there already is kept. The packages are checked by apt against Debian's keys, and not installed: each server
# is run by the loader and the libraries that came with it.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
servers="redis-server valkey-server"

fail() {
    echo "$0: $1; list your own redis-server 8 and valkey-server 8 in SSE_RELAY_REDIS_SERVERS, with : between" >&2
    exit 1
}

complete() {
    for server in $servers; do
        "$folder/bin/$server" --version >/dev/null 2>&1 || return 1
    done
}

private_apt() {
    apt-get -q -q \
        -o Dir::State="$folder/apt" -o Dir::State::status="$folder/apt/status" -o Dir::Cache="$folder/apt" \
        -o Dir::Etc::sourcelist="$folder/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

complete && exit 0

for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || fail "$tool is needed"
done

rm -rf "$folder/apt" "$folder/root" "$folder/bin"
mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial" "$folder/root" "$folder/bin"
: >"$folder/apt/status" # nothing is installed: every library comes along
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)
[ -n "$archive" ] || fail "apt has no archive of Debian"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive trixie main" >"$folder/apt/sources.list"
private_apt -o APT::Update::Error-Mode=any update || fail "Debian's archive cannot be reached"
# shellcheck disable=SC2086 # they are several
private_apt install --download-only --yes --no-install-recommends $servers
for package in "$folder"/apt/archives/*.deb; do
    dpkg-deb --extract "$package" "$folder/root"
done
rm -rf "$folder/apt"

loader=$(find "$folder/root" -name 'ld-linux*.so.*' | head -n 1)
libraries=$(dirname "$(find "$folder/root" -name libc.so.6 | head -n 1)")
for server in $servers; do
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
        "$loader" "$libraries" "$folder/root/usr/bin/$server" >"$folder/bin/$server"
    chmod +x "$folder/bin/$server"
done
complete || fail "the servers do not start"
