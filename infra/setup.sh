#!/usr/bin/env bash
# Installs what building needs (a C/C++ compiler and cmake) and, with --test, what the full test run talks to
# (kcat, a Java runtime and Maven for a real Apache Kafka, Python for the readers of the lake). Does nothing when all is there.
set -euo pipefail

need=()
want() { command -v "$1" >/dev/null 2>&1 || need+=("$2"); }
want cc build-essential
want c++ build-essential
want make build-essential
want cmake cmake
if [ "${1:-}" = --test ]; then
  want kcat kcat
  want java default-jre-headless
  want mvn maven
  want python3 python3
  python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || need+=(python3-venv)
  # The engine's bindings to llama.cpp are made with it.
  compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || need+=(libclang-dev)
fi
[ ${#need[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "Please install with your package manager: ${need[*]}" >&2
  exit 1
fi
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
echo "installing: ${need[*]}" >&2
$sudo apt-get install -y --no-install-recommends "${need[@]}" >/dev/null 2>&1 || {
  $sudo apt-get update -qq >&2
  $sudo apt-get install -y --no-install-recommends "${need[@]}" >&2
}
