#!/usr/bin/env bash
# The whole test run: unit, property and golden tests of every crate, the conformance suite against the embedded broker
# and a real Apache Kafka, kill -9 runs of the built binary, the lake read by foreign tools, and the demo checked.
set -euo pipefail
cd "$(dirname "$0")/.."

infra/setup.sh --test
if [ "${CI:-}" = true ]; then
  # A target folder outside the checkout survives from one fresh clone to the next.
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/citybrain/target}"
  export CITYBRAIN_UDF_TARGET="${CITYBRAIN_UDF_TARGET:-$CARGO_TARGET_DIR/udfs}"
fi
target="${CARGO_TARGET_DIR:-target}"
mkdir -p "$target"
free_gb() { echo $(($(df -Pk "$target" | awk 'NR == 2 { print $4 }') / 1048576)); }
if [ "${CI:-}" = true ] && [ "$(free_gb)" -lt 30 ]; then
  # It only makes the next build quicker, and takes more disk than all the rest.
  rm -rf "$target/debug/incremental"
fi
if [ "$(free_gb)" -lt 5 ]; then
  echo "only $(free_gb) GB are free where $target lies; a build takes 20 and the tests 5: please make room, or set CARGO_TARGET_DIR" >&2
  exit 1
fi

say() { printf '\n== %s\n' "$*"; }

say "building (the first time this compiles some 450 crates: 20 to 30 minutes on two cores; later runs: a minute or two)"
cargo build --locked --workspace --bins --tests
export CITYBRAIN_BINARY="$(cd "$target" && pwd)/debug/citybrain"

say "Apache Kafka for the conformance suite"
kafka=infra/kafka/kafka.sh
# On an empty log: the journal of another version of the program is no beginning for this one.
if "$kafka" fetch && "$kafka" clean && "$kafka" start; then
  trap '"$kafka" stop || true' EXIT
  export CITYBRAIN_TEST_KAFKA="${CITYBRAIN_TEST_KAFKA:-127.0.0.1:${CITYBRAIN_KAFKA_PORT:-19092}}"
else
  echo "Apache Kafka could not be fetched or started: its half of the conformance suite is skipped" >&2
fi

say "tests of every crate"
cargo test --locked --workspace

say "acceptance of the built binary"
infra/acceptance.sh "$CITYBRAIN_BINARY"
