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
            "duckdb": duckdb.sql("SELECT count(*) FROM arrow").fetchone()[0],
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


def main():
    with tempfile.TemporaryDirectory(prefix="citybrain-acceptance-") as root:
        for name, part in (("demo", demo), ("doors", doors), ("real", real_files)):
            folder = os.path.join(root, name)
            os.makedirs(folder)
            try:
                part(folder)
            except Exception as error:  # a broken part is a failed check, and the others still run
                record("failed", name, f"{type(error).__name__}: {error}")
    print(f"{RESULTS['passed']} passed, {RESULTS['failed']} failed, {RESULTS['skipped']} skipped")
    sys.exit(1 if RESULTS["failed"] else 0)


main()
