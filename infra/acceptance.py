"""Acceptance of a built citybrain binary, from outside: commands, HTTP, Kafka clients and foreign readers of the lake.

Each check prints one line; the last line counts them. A check whose tool is missing says so and counts as skipped.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BINARY = os.path.abspath(sys.argv[1])
DATA = os.environ.get("CITYBRAIN_DATA", "")
RESULTS = {"passed": 0, "failed": 0, "skipped": 0}


def record(outcome, name, detail=""):
    RESULTS[outcome] += 1
    print(f"{outcome:8} {name}" + (f": {detail}" if detail else ""), flush=True)


def check(name, condition, detail=""):
    record("passed" if condition else "failed", name, "" if condition else detail)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Brain:
    """A home with ports of its own."""

    def __init__(self, root):
        self.home = os.path.join(root, "home")
        self.kafka = f"127.0.0.1:{free_port()}"
        self.http = f"127.0.0.1:{free_port()}"
        self.config = os.path.join(root, "citybrain.toml")
        with open(self.config, "w") as out:
            out.write(f'kafka_listen = "{self.kafka}"\nhttp_listen = "{self.http}"\n')
        self.process = None

    def command(self, *args, home=None):
        return [BINARY, "--home", home or self.home, "--config", self.config, *args]

    def call(self, *args, home=None, timeout=600):
        return subprocess.run(self.command(*args, home=home), capture_output=True, text=True, timeout=timeout)

    def sql(self, query, home=None):
        result = self.call("sql", query, "--format", "json", home=home)
        if result.returncode != 0:
            raise RuntimeError(f"{query}: {result.stderr[-600:]}")
        return [json.loads(line) for line in result.stdout.splitlines() if line.strip()]

    def start(self):
        self.process = subprocess.Popen(self.command("run"), stdout=subprocess.DEVNULL)
        deadline = time.time() + 60
        while time.time() < deadline:
            try:
                if urllib.request.urlopen(f"http://{self.http}/health/ready", timeout=2).status == 200:
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RuntimeError("the brain did not become ready in 60 s")

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        return self.process.wait(timeout=60)

    def post(self, body, content_type, path="/v1/events", headers=None):
        request = urllib.request.Request(f"http://{self.http}{path}", data=body, method="POST")
        request.add_header("content-type", content_type)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=30) as answer:
            return answer.read()


def hotline(number, text, district="d01", when="2026-01-05T08:00:00Z"):
    return {
        "specversion": "1.0",
        "id": f"m-{number}",
        "source": "acceptance/hotline",
        "type": "io.citybrain.hotline.message.v1",
        "time": when,
        "data": {"message_id": f"m-{number}", "text": text, "caller": f"c-{number}", "channel": "phone", "district": district},
    }


def wait_for(probe, seconds=60):
    deadline = time.time() + seconds
    while time.time() < deadline:
        value = probe()
        if value:
            return value
        time.sleep(0.3)
    return probe()


def demo(root):
    brain = Brain(os.path.join(root))
    result = brain.call("demo", "--json", "--keep")
    check("demo ends well", result.returncode == 0, result.stderr[-800:])
    if result.returncode != 0:
        return
    summary = json.loads(result.stdout)
    check("demo: the replay proves the digest", summary["replay"]["equal"] is True, json.dumps(summary.get("replay")))
    missing = [story["scenario"] for story in summary["stories"] if not story["found"]]
    check("demo: each planted story raised its alert", not missing, f"missing: {missing}")
    home = summary["home"]
    tables = {f"{row['table_schema']}.{row['table_name']}" for row in brain.sql(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_type = 'BASE TABLE' AND table_schema IN ('bronze','silver','gold')", home=home)}
    check("demo: tables of every layer", {"bronze.raw_sensor", "silver.sensor_observation", "bronze.city_journal"} <= tables, str(tables))
    alert = brain.sql("SELECT alert_key FROM silver.alert LIMIT 1", home=home)[0]["alert_key"]
    why = brain.call("why", alert, "--json", home=home)
    check("why walks from an alert to raw positions", why.returncode == 0 and '"raw.' in why.stdout, why.stderr + why.stdout[:400])
    foreign_readers(brain, home)


def foreign_readers(brain, home):
    try:
        import deltalake
        import duckdb
        import polars
    except ImportError as error:
        record("skipped", "lake read by deltalake, polars and duckdb", str(error))
        return
    for schema, table in (("bronze", "raw_sensor"), ("silver", "sensor_observation"), ("bronze", "city_journal")):
        ours = brain.sql(f"SELECT count(*) AS n FROM {schema}.{table}", home=home)[0]["n"]
        path = os.path.join(home, "lake", schema, table)
        delta = deltalake.DeltaTable(path)
        arrow = delta.to_pyarrow_table(columns=["offset"])
        counts = {
            "deltalake": arrow.num_rows,
            "polars": polars.scan_delta(path).select(polars.len()).collect().item(),
            "duckdb": duckdb.read_parquet(delta.file_uris()).count("*").fetchall()[0][0],
        }
        check(f"{schema}.{table}: foreign readers count the same", set(counts.values()) == {ours}, f"ours {ours}, {counts}")


def doors(root):
    brain = Brain(root)
    brain.start()
    try:
        event = hotline(1, "地下车库积水，有人被困 Flooding in the underpass, person trapped")
        status, body = brain.post(json.dumps(event).encode(), "application/cloudevents+json")
        check("structured CloudEvent accepted", status == 202 and json.loads(body)["accepted"] == 1, f"{status} {body[:300]}")
        status, body = brain.post(json.dumps(event).encode(), "application/cloudevents+json")
        check("the same event again is a duplicate", status == 202 and json.loads(body)["duplicate"] == 1, f"{status} {body[:300]}")
        batch = [hotline(number, "路灯不亮 street light is out") for number in range(2, 12)]
        status, body = brain.post(json.dumps(batch).encode(), "application/cloudevents-batch+json")
        check("batch accepted", status == 202 and json.loads(body)["accepted"] == 10, f"{status} {body[:300]}")
        lines = "\n".join(json.dumps(hotline(number, "噪音扰民")) for number in range(12, 15)) + "\n{broken\n"
        status, body = brain.post(lines.encode(), "application/x-ndjson")
        answer = json.loads(body)
        check("JSON lines: good ones in, the bad one refused with its line",
              status == 202 and answer["accepted"] == 3 and len(answer["refused"]) == 1, f"{status} {body[:300]}")
        status, body = brain.post(json.dumps(hotline(99, "x"))[:-40].encode(), "application/cloudevents+json")
        check("truncated event: 400 with a reason", status == 400 and b"detail" in body, f"{status} {body[:300]}")
        data = json.dumps({"message_id": "m-50", "text": "电话 13812345678", "caller": "c", "channel": "web", "district": "d02"})
        status, body = brain.post(data.encode(), "application/json", headers={
            "ce-specversion": "1.0", "ce-id": "m-50", "ce-source": "acceptance/hotline",
            "ce-type": "io.citybrain.hotline.message.v1", "ce-time": "2026-01-05T08:10:00Z"})
        check("binary CloudEvent accepted", status == 202, f"{status} {body[:300]}")
        landed = wait_for(lambda: brain.sql("SELECT count(*) AS n FROM bronze.raw_hotline")[0]["n"] >= 15)
        check("every accepted event is in bronze once",
              landed and brain.sql("SELECT count(*) AS n, count(DISTINCT ce_id) AS d FROM bronze.raw_hotline")[0] == {"n": 15, "d": 15})
        leaked = brain.sql("SELECT count(*) AS n FROM bronze.raw_hotline WHERE data LIKE '%13812345678%'")[0]["n"]
        check("a phone number never reaches the lake", leaked == 0)
        refused = wait_for(lambda: json.loads(brain.call("dlq", "list", "--json").stdout or "[]"))
        check("what was refused is listed", bool(refused))
        cases = wait_for(lambda: brain.sql("SELECT count(*) AS n FROM silver.case")[0]["n"] >= 10)
        check("messages became cases", bool(cases))
        streams(brain)
        replay = brain.call("replay", "--json")
        check("replay while running proves the digest", replay.returncode == 0, replay.stdout[-400:] + replay.stderr[-400:])
        metrics = brain.get("/metrics").decode()
        check("/metrics speaks Prometheus", "# TYPE citybrain_" in metrics, metrics[:300])
        json.loads(brain.get("/openapi.json"))
    finally:
        code = brain.stop()
    check("Ctrl-C stops cleanly", code == 0, f"exit status {code}")
    brain.start()
    try:
        status, body = brain.post(json.dumps(event).encode(), "application/cloudevents+json")
        check("a duplicate is known after a restart", status == 202 and json.loads(body)["duplicate"] == 1, f"{status} {body[:300]}")
    finally:
        brain.stop(signal.SIGKILL)


def sse(brain, topics, last=None, count=1, seconds=20):
    request = urllib.request.Request(f"http://{brain.http}/v1/stream?topics={topics}")
    if last:
        request.add_header("Last-Event-ID", last)
    got, ident, deadline = [], None, time.time() + seconds
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        for raw in answer:
            line = raw.decode().rstrip("\n")
            if line.startswith("id:"):
                ident = line[3:].strip()
            elif line.startswith("data:"):
                got.append((ident, line[5:].strip()))
                if len(got) >= count:
                    break
            if time.time() > deadline:
                break
    return got


def streams(brain):
    topic_cases = sse_from_start(brain, "city.case", 5)
    check("SSE gives cases from a cursor", len(topic_cases) == 5, f"{len(topic_cases)} events")
    if len(topic_cases) == 5:
        again = sse(brain, "city.case", last=topic_cases[1][0], count=3)
        check("SSE resumes after Last-Event-ID", [item[1] for item in again] == [item[1] for item in topic_cases[2:]])
    if shutil.which("kcat"):
        run = subprocess.run(["kcat", "-b", brain.kafka, "-C", "-t", "city.case", "-o", "beginning", "-e", "-q", "-c", "3"],
                             capture_output=True, text=True, timeout=60)
        check("kcat reads city.case", run.returncode == 0 and len(run.stdout.splitlines()) == 3, run.stderr)
    else:
        record("skipped", "kcat reads city.case", "kcat is not installed")
    lib = os.path.join(os.environ.get("CITYBRAIN_KAFKA_HOME", os.path.expanduser("~/.cache/citybrain/kafka")), "lib")
    if os.path.isdir(lib) and shutil.which("java"):
        run = subprocess.run(["java", "-cp", f"{lib}/*", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server",
                              brain.kafka, "--topic", "city.case", "--from-beginning", "--max-messages", "3", "--timeout-ms", "20000"],
                             capture_output=True, text=True, timeout=90)
        check("Kafka's Java consumer reads city.case", len(run.stdout.splitlines()) >= 3, run.stderr[-400:])
    else:
        record("skipped", "Kafka's Java consumer reads city.case", "Apache Kafka is not fetched")


def sse_from_start(brain, topics, count):
    return sse(brain, topics, last="earliest", count=count)


def real_files(root):
    if not os.path.isdir(DATA):
        record("skipped", "import of real files", "CITYBRAIN_DATA names no folder")
        return
    brain = Brain(root)
    path = os.path.join(DATA, "work_orders", "baltimore311_7000.csv.gz")
    first = brain.call("import", "--mapping", "baltimore", path, "--json")
    check("import of a real file", first.returncode in (0, 3), first.stderr[-500:])
    counts = json.loads(first.stdout)
    second = json.loads(brain.call("import", "--mapping", "baltimore", path, "--json").stdout)
    check("importing twice doubles nothing", second["accepted"] == 0 and second["duplicate"] >= counts["accepted"], f"{counts} {second}")
    row = brain.sql("SELECT count(*) AS n, count(DISTINCT ce_source || ce_id) AS d FROM bronze.raw_workorder")[0]
    check("bronze has each accepted event once", row["n"] == row["d"] == counts["accepted"], f"{row} {counts}")
    replay = brain.call("replay", "--json")
    check("replay of the import proves the digest", replay.returncode == 0, replay.stdout[-400:] + replay.stderr[-400:])


def new_type(root):
    """A new event type is one file: a topic, a table and a typed view within seconds; a breaking change is refused."""
    brain = Brain(root)
    brain.start()
    try:
        folder = os.path.join(brain.home, "schemas")
        schema = {"type": "object", "required": ["garage"], "properties": {"garage": {"type": "string"}, "free": {"type": "integer"}}}
        def put(version, schema):
            with open(os.path.join(folder, "parking.json"), "w") as out:
                json.dump({"type": f"io.example.parking.v{version}", "version": version, "topic": "raw.parking", "key": "garage",
                           "table": "parking", "schema": schema}, out)
        event = {"specversion": "1.0", "id": "p-1", "source": "acceptance/parking", "type": "io.example.parking.v1",
                 "time": "2026-01-05T08:00:00Z", "data": {"garage": "North", "free": 17}}
        put(1, schema)
        taken = wait_for(lambda: brain.post(json.dumps(event).encode(), "application/cloudevents+json")[0] == 202, 20)
        check("a new event type is one file", taken)
        rows = wait_for(lambda: "parking" in brain.call("sql", "SHOW TABLES").stdout and brain.sql("SELECT garage, free FROM silver.parking"), 20)
        check("its events are rows of a typed table", rows == [{"garage": "North", "free": 17}], str(rows))
        put(2, {"type": "object", "required": ["garage"], "properties": {"garage": {"type": "string"}, "free": {"type": "string"}}})
        told = wait_for(lambda: "/free" in brain.get("/health/ready").decode(), 20)
        check("a breaking change is refused with the reason", told, brain.get("/health/ready").decode()[-400:])
    finally:
        brain.stop(signal.SIGKILL)


def hostile(root):
    """Bad input: refused with a reason, never a crash."""
    brain = Brain(root)
    brain.start()
    try:
        structured = "application/cloudevents+json"
        gbk = json.dumps(hotline(1, "X")).encode().replace(b'"X"', '"路灯不亮"'.encode("gbk"))
        cases = [
            ("GBK bytes", gbk, structured), ("NUL in a text", json.dumps(hotline(2, "a\u0000b")).encode(), structured),
            ("a lone surrogate", json.dumps(hotline(3, "x")).encode().replace(b'"x"', b'"\\ud800"'), structured),
            ("the year 2100", json.dumps(hotline(4, "x", when="2100-01-01T00:00:00Z")).encode(), structured),
            ("an unknown type", json.dumps({**hotline(5, "x"), "type": "io.citybrain.dream.v1"}).encode(), structured),
            ("wrong types", json.dumps({**hotline(6, "x"), "data": {"message_id": 7, "text": []}}).encode(), structured),
            ("an empty body", b"", structured), ("an array instead of an event", b"[]", structured),
        ]
        for name, body, media in cases:
            status, answer = brain.post(body, media)
            check(f"refused with a reason: {name}", 400 <= status < 500 and b"detail" in answer, f"{status} {answer[:200]}")
        try:
            status, answer = brain.post(b"x" * (100 << 20), structured)
        except (urllib.error.URLError, OSError) as error:  # it may answer and close before it has read everything
            status, answer = 413, str(error).encode()
        check("refused: a body of 100 MB", status == 413, f"{status} {answer[:200]}")
        status, _ = brain.post(json.dumps(hotline(7, "x")).encode(), structured, headers={f"x-{n}": "y" for n in range(10_000)})
        check("10,000 headers do no harm", status in (202, 400, 413, 431), str(status))
        status, _ = brain.post(json.dumps(hotline(8, "路灯不亮")).encode(), structured)
        check("and good events still get in", status == 202, str(status))
        second = brain.call("import", "--mapping", "nothing-of-that-name", "/dev/null")
        check("a wrong mapping is told", second.returncode == 1 and "mapping" in second.stderr, second.stderr[:300])
        usage = brain.call("dance")
        check("wrong usage has status 2", usage.returncode == 2, str(usage.returncode))
        other = brain.call("run")
        check("two processes on one home: a clear error", other.returncode == 1 and "--home" in other.stderr, other.stderr[:300])
    finally:
        check("Ctrl-C after all that stops cleanly", brain.stop() == 0)


def on_kafka(root):
    servers = os.environ.get("CITYBRAIN_TEST_KAFKA", "")
    if not servers:
        record("skipped", "the spine on Apache Kafka", "CITYBRAIN_TEST_KAFKA names none")
        return
    brain = Brain(root)
    mapping, orders = os.path.join(root, "orders.toml"), os.path.join(root, "orders.csv")
    with open(mapping, "w") as out:
        out.write('name = "orders"\ntitle = { zh = "工单", en = "orders" }\nsource = "urn:acceptance:orders"\ntimezone = "UTC"\norder = "file"\n'
                  '[[event]]\ntype = "workorder.created"\nid = "{id}"\ntime = "at"\n[event.data]\nrequest_id = "id"\ncategory = "what"\n')
    run = str(int(time.time()))
    with open(orders, "w") as out:
        out.write("id,at,what\n" + "".join(f"{run}-{n},2026-01-05T08:{n // 60:02}:{n % 60:02}Z,Street light out\n" for n in range(2_000)))
    first = brain.call("--kafka", servers, "import", "--mapping", mapping, orders, "--json")
    check("import through Apache Kafka", first.returncode == 0 and json.loads(first.stdout)["accepted"] == 2_000, first.stdout[-300:] + first.stderr[-500:])
    again = brain.call("--kafka", servers, "import", "--mapping", mapping, orders, "--json")
    check("a second import through Apache Kafka doubles nothing", again.returncode == 0 and json.loads(again.stdout)["duplicate"] == 2_000, again.stdout[-300:] + again.stderr[-500:])
    rows = brain.sql(f"SELECT count(*) AS n, count(DISTINCT ce_id) AS d FROM bronze.raw_workorder WHERE ce_id LIKE '{run}-%'")[0]
    check("each event from Apache Kafka is in bronze once", rows == {"n": 2_000, "d": 2_000}, str(rows))
    replay = brain.call("replay", "--json")
    check("replay of what Apache Kafka brought proves the digest", replay.returncode == 0, replay.stdout[-300:] + replay.stderr[-300:])


PARTS = (("demo", demo), ("doors", doors), ("new_type", new_type), ("hostile", hostile), ("kafka", on_kafka), ("real", real_files))


def main():
    with tempfile.TemporaryDirectory(prefix="citybrain-acceptance-") as root:
        only = sys.argv[2:]
        for name, part in PARTS:
            if only and name not in only:
                continue
            folder = os.path.join(root, name)
            os.makedirs(folder)
            try:
                part(folder)
            except Exception as error:  # a broken part is a failed check, and the others still run
                record("failed", name, f"{type(error).__name__}: {error}")
    print(f"{RESULTS['passed']} passed, {RESULTS['failed']} failed, {RESULTS['skipped']} skipped")
    sys.exit(1 if RESULTS["failed"] else 0)


main()
