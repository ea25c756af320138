#!/bin/sh
# Builds the user-defined functions and writes each shared object with its manifest into a folder.
#   ./build.sh [folder]             the functions that ship, into <folder> (default: ../.citybrain/udfs)
#   ./build.sh folder functions/x   only the named ones
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../.citybrain/udfs}
[ $# -gt 0 ] && shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$here"
target=${CARGO_TARGET_DIR:-$here/target}
[ $# -gt 0 ] || set -- functions/*
CARGO_TARGET_DIR=$target cargo build --release --workspace
"$target/release/udf-manifest" "$target/release" "$out" "$@"
