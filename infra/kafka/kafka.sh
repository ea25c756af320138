#!/usr/bin/env bash
# A real Apache Kafka 4 on this machine, one node in KRaft mode, without containers: for tests against the real thing.
#
#   kafka.sh fetch     the jars, from Maven Central (once; about 54 MB)
#   kafka.sh format    an empty log (once, and after clean)
#   kafka.sh start     in the background; comes back when it answers
#   kafka.sh stop      in order; `kafka.sh kill` at once
#   kafka.sh status    whether it runs, and where
#   kafka.sh clean     stops it and throws the log away; the jars stay
#   kafka.sh tool CLASS ARGS...   one of Kafka's own tools, such as org.apache.kafka.tools.TopicCommand
#
# CITYBRAIN_KAFKA_HOME   where everything lies      (~/.cache/citybrain/kafka)
# CITYBRAIN_KAFKA_PORT   the port for clients       (19092; the controller takes the next one)
# CITYBRAIN_KAFKA_HEAP   the heap of the broker     (512m)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${CITYBRAIN_KAFKA_HOME:-$HOME/.cache/citybrain/kafka}
port=${CITYBRAIN_KAFKA_PORT:-19092}
heap=${CITYBRAIN_KAFKA_HEAP:-512m}
lib=$home/lib
node=$home/node-$port
config=$node/server.properties
pid_file=$node/pid
log_file=$node/kafka.log

say() { printf 'kafka: %s\n' "$*"; }
fail() { printf 'kafka: %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "$1 is needed: $2"; }
running() { [ -s "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
run_java() { java "-Xmx$1" -Dorg.slf4j.simpleLogger.defaultLogLevel="$2" -cp "$lib/*" "${@:3}"; }

fetch() {
    [ -e "$lib/.complete" ] && { say "the jars are in $lib"; return; }
    need java "install a Java 17 or newer (Debian: default-jre-headless)"
    need mvn "install Maven (Debian: maven)"
    mkdir -p "$lib"
    say "fetching Apache Kafka from Maven Central into $lib"
    mvn -q -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$lib" -DincludeScope=runtime \
        || fail "Maven could not fetch the jars: is the network up?"
    touch "$lib/.complete"
}

format() {
    fetch
    [ -e "$node/data/meta.properties" ] && { say "the log in $node/data is formatted"; return; }
    mkdir -p "$node"
    # One replica of everything, since there is one node; no waiting for more members of a group, since tests are short.
    cat > "$config" <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$((port + 1))
log.dirs=$node/data
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=33554432
socket.request.max.bytes=209715200
PROPERTIES
    local id
    id=$(run_java 128m error kafka.tools.StorageTool random-uuid)
    run_java 128m error kafka.tools.StorageTool format --standalone -t "$id" -c "$config" > "$node/format.log" 2>&1 \
        || { cat "$node/format.log" >&2; fail "could not format $node/data"; }
    say "formatted $node/data"
}

start() {
    format
    running && { say "it runs at 127.0.0.1:$port (process $(cat "$pid_file"))"; return; }
    answers && fail "something else listens on port $port: stop it, or set CITYBRAIN_KAFKA_PORT"
    nohup java "-Xmx$heap" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$lib/*" kafka.Kafka "$config" \
        > "$log_file" 2>&1 < /dev/null &
    echo $! > "$pid_file"
    for _ in $(seq 1 300); do
        running || { tail -n 20 "$log_file" >&2; fail "it ended while starting; the whole log is $log_file"; }
        if answers; then
            say "it runs at 127.0.0.1:$port (process $(cat "$pid_file"))"
            return
        fi
        sleep 0.2
    done
    fail "it does not answer on port $port after 60 s; see $log_file"
}

end() {
    running || { say "it does not run"; rm -f "$pid_file"; return; }
    local pid
    pid=$(cat "$pid_file")
    kill "-$1" "$pid"
    for _ in $(seq 1 150); do
        kill -0 "$pid" 2>/dev/null || { rm -f "$pid_file"; say "stopped"; return; }
        sleep 0.2
    done
    fail "process $pid does not end within 30 s; try: kafka.sh kill"
}

case "${1:-}" in
    fetch) fetch ;;
    format) format ;;
    start) start ;;
    stop) end TERM ;;
    kill) end KILL ;;
    status)
        if running && answers; then
            say "it runs at 127.0.0.1:$port (process $(cat "$pid_file")), log in $log_file"
        else
            say "it does not run"
            exit 3
        fi
        ;;
    clean)
        end KILL
        rm -rf "$node"
        say "threw $node away"
        ;;
    tool)
        [ -e "$lib/.complete" ] || fail "the jars are not there: kafka.sh fetch"
        run_java 256m error "${@:2}"
        ;;
    *)
        sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 2
        ;;
esac
