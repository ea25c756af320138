"""Acceptance, part `people`: roles and rights, masked SQL, the description of the doors, and the audit."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

from acceptance import Brain, check, city_now, hotline, record, wait_for

TYPE_HOTLINE = "io.citybrain.hotline.message.v1"


def ask(brain, token, method, path, body=None, content_type="application/json"):
    """A request with a token; the status and the JSON (or text) of the answer."""
    request = urllib.request.Request(f"http://{brain.http}{path}", data=None if body is None else body.encode(), method=method)
    request.add_header("content-type", content_type)
    if token:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def people(root):
    """People, roles and the audit: who may do what where, that nobody is taken for another, and that nothing can be altered unseen."""
    brain = Brain(root)
    added = brain.call("people", "add", "root", "--role", "administrator", "--zh", "管理员", "--en", "root", "--reason", "first")
    check("the first person is let in before the brain runs", added.returncode == 0 and added.stdout.startswith("cb_"), added.stderr[-600:])
    token = {"root": added.stdout.strip()}
    brain.start()
    try:
        grants = {"wang": ["operator", "--area", "d01"], "li": ["supervisor", "--area", "d01", "--domain", "urban_flooding"], "zhao": ["commander"], "sun": ["viewer", "--area", "d02"],
                  "feed": ["publisher"], "ana": ["analyst"], "aud": ["auditor"]}
        for person, (role, *more) in grants.items():
            added = brain.call("--token", token["root"], "people", "add", person, "--role", role, *more)
            token[person] = added.stdout.strip()
        check("people are added on a running brain", all(one.startswith("cb_") for one in token.values()), str(sorted(token)))
        stored = open(os.path.join(brain.home, "people.yaml")).read()
        check("no token is kept", not any(one in stored for one in token.values()))
        asked_for = brain.call("people", "check")
        check("people check finds the file right", asked_for.returncode == 0, asked_for.stdout + asked_for.stderr)

        status, answer = ask(brain, None, "GET", "/v1/alerts")
        check("without a token: 401", status == 401 and answer["status"] == 401, str(answer)[:200])
        check("with a wrong one: 401", ask(brain, "cb_wrong", "GET", "/v1/alerts")[0] == 401)
        for number, district in ((1, "d01"), (2, "d02")):
            event = hotline(number, "地铁站入口积水严重 Flooding at the underpass, phone 13812345678", district, city_now())
            status, answer = ask(brain, token["feed"], "POST", "/v1/events", json.dumps(event), "application/cloudevents+json")
            check("a publisher sends data", status == 202 and answer["accepted"] == 1, str(answer)[:300])
        check("nobody else does", ask(brain, token["zhao"], "POST", "/v1/events", json.dumps(hotline(9, "x")), "application/cloudevents+json")[0] == 403)
        cases = wait_for(lambda: (lambda items: len(items) == 2 and {item["district"]: item for item in items})(ask(brain, token["zhao"], "GET", "/v1/cases")[1]["items"]))
        check("both became cases", bool(cases), str(cases))
        if not cases:
            return
        own = ask(brain, token["sun"], "GET", "/v1/cases")[1]["items"]
        check("who reads for a district sees its cases only", [item["district"] for item in own] == ["d02"], str(own)[:300])
        check("and is told what is missing", ask(brain, token["sun"], "GET", f"/v1/cases/{cases['d01']['id']}")[1].get("areas") == ["d01"])

        def order(person, action, target, **more):
            return ask(brain, token[person], "POST", "/v1/commands", json.dumps({"command_id": f"{person}-{action}-{target}", "action": action, "target": target, "reason": "acceptance", **more}))

        status, answer = order("wang", "assign", cases["d02"]["id"], unit="drainage")
        check("another district: 403 with permission, domain and area", status == 403 and answer["permission"] == "handle" and answer["areas"] == ["d02"], str(answer)[:300])
        status, answer = order("wang", "void", cases["d01"]["id"])
        check("another permission: 403", status == 403 and answer["permission"] == "decide", str(answer)[:300])
        status, answer = order("wang", "suspend", cases["d01"]["id"], actor="li")
        check("whoever claims to be another is refused", status == 403 and answer["type"].endswith(":actor"), str(answer)[:300])
        status, answer = order("wang", "suspend", cases["d01"]["id"])
        check("in one's own district: taken", status == 202 and answer["position"]["topic"] == "city.journal", str(answer)[:300])
        status, answer = order("zhao", "verify", cases["d02"]["id"])
        check("what the law of cases forbids is told", status == 202 and "refused" in answer, str(answer)[:300])
        check("the mode is for the whole city", order("li", "mode", "city", mode="emergency")[0] == 403 and order("zhao", "mode", "city", mode="emergency")[0] == 202)

        terminal = brain.call("--token", token["wang"], "case", "resume", cases["d01"]["id"], "--reason", "goes on")
        check("the terminal does the same", terminal.returncode == 0 and terminal.stdout.startswith("city.journal/"), terminal.stdout + terminal.stderr)
        terminal = brain.call("--token", token["wang"], "case", "void", cases["d01"]["id"], "--reason", "x")
        check("and refuses the same", terminal.returncode == 1 and "decide" in terminal.stderr, terminal.stderr)
        check("without a token it decides nothing", brain.call("mode", "everyday", "--reason", "x").returncode == 1)
        for command in (["silence", "add", "--match", "district=d01", "--match", "scenario=urban_flooding", "--minutes", "30", "--reason", "works"],):
            silenced = brain.call("--token", token["li"], *command)
            check("a silence within one's grant", silenced.returncode == 0, silenced.stdout + silenced.stderr)
        check("but not beyond", brain.call("--token", token["li"], "silence", "add", "--match", "district=d02", "--minutes", "30", "--reason", "x").returncode == 1)
        silences = json.loads(brain.call("--token", token["li"], "--json", "silence", "list").stdout)
        check("it is listed with its author", len(silences) == 1 and silences[0]["author"] == "li", str(silences))
        removed = brain.call("--token", token["li"], "silence", "remove", silences[0]["id"], "--reason", "done")
        check("and can be removed", removed.returncode == 0, removed.stderr)
        begun = brain.call("--token", token["zhao"], "exercise", "start", "--match", "originator=gauge-9", "--minutes", "60", "--reason", "drill")
        check("an exercise is begun on the terminal", begun.returncode == 0, begun.stderr)

        recorded = wait_for(lambda: brain.sql("SELECT data FROM bronze.city_journal WHERE data LIKE '%wang-suspend-%'"))
        check("the journal has the person as the actor", bool(recorded) and json.loads(recorded[0]["data"])["body"]["command"]["actor"] == "wang", str(recorded)[:300])
        privacy(brain, token)
        described(brain, token)
        audited(brain, token, root, cases)
    finally:
        code = brain.stop(signal.SIGKILL) if brain.process.poll() is None else 0
    check("the brain was killed with the audit open", code in (0, -9), str(code))
    tampered(brain, root)


ATTACKS = """
SELECT data FROM bronze.raw_hotline
SELECT * FROM "bronze"."raw_hotline"
SELECT * FROM city.bronze.raw_hotline
SELECT data FROM bronze.city_journal
SELECT * FROM silver.hotline_message
SELECT text FROM silver.hotline_message
SELECT "text" AS x FROM hotline_message
SELECT substr(text, 1, 400) FROM silver.hotline_message
SELECT reverse(reverse(text)) FROM silver.hotline_message
SELECT concat('', text) FROM silver.hotline_message
SELECT max(text), min(text) FROM silver.hotline_message
SELECT array_agg(text) FROM silver.hotline_message
SELECT string_agg(text, ',') FROM silver.hotline_message
SELECT t FROM (SELECT text AS t FROM silver.hotline_message)
WITH x AS (SELECT text FROM silver.hotline_message) SELECT * FROM x
SELECT text FROM silver.hotline_message UNION ALL SELECT 'x'
SELECT count(*) AS n FROM silver.hotline_message WHERE text LIKE '%{NUMBER}%'
SELECT count(*) AS n FROM silver.hotline_message WHERE position('{NUMBER}' in text) > 0
SELECT count(*) AS n FROM silver.hotline_message WHERE caller = '{NUMBER}'
SELECT caller FROM silver.hotline_message
SELECT CAST(text AS BIGINT) FROM silver.hotline_message
SELECT CAST(caller AS BIGINT) FROM silver.hotline_message
SELECT address FROM silver.hotline_message
SELECT address FROM silver.case
SELECT * FROM silver.case
SELECT * FROM silver.case_transition
SELECT description FROM silver.workorder_created
SELECT * FROM silver.workorder_created
SELECT resolution FROM silver.workorder_closed
SELECT household FROM silver.gas_inspection
SELECT * FROM silver.dlq
SELECT * FROM ops.dlq
SELECT original FROM ops.dlq
SELECT * FROM ops.late_event
SELECT * FROM silver.audit
SELECT data FROM bronze.audit
SELECT * FROM information_schema.columns WHERE table_schema = 'bronze'
SELECT * FROM '{HOME}/lake/bronze/raw_hotline'
SELECT * FROM "../bronze/raw_hotline"
SELECT * FROM silver."../bronze/raw_hotline"
SELECT * FROM '{HOME}/people.yaml'
SELECT * FROM read_parquet('{HOME}/lake/bronze/raw_hotline')
CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '{HOME}/lake/bronze/raw_hotline'
COPY (SELECT text FROM silver.hotline_message) TO '/tmp/out.csv'
EXPLAIN ANALYZE SELECT text FROM silver.hotline_message
EXPLAIN VERBOSE SELECT * FROM silver.hotline_message WHERE text LIKE '%1%'
SELECT a.text FROM silver.hotline_message a JOIN silver.hotline_message b ON a.text = b.text
SELECT DISTINCT text FROM silver.hotline_message ORDER BY text
SELECT first_value(text) OVER (ORDER BY "offset") FROM silver.hotline_message
SELECT regexp_replace(text, 'x', 'y') FROM silver.hotline_message
SELECT encode(text, 'hex') FROM silver.hotline_message
SELECT named_struct('t', text) FROM silver.hotline_message
SELECT make_array(text, caller) FROM silver.hotline_message
SELECT CASE WHEN text LIKE '%{NUMBER}%' THEN 1 ELSE 0 END AS n FROM silver.hotline_message
SELECT json_get_str(data, 'text') FROM bronze.raw_hotline
SELECT reason FROM silver.decision
SELECT * FROM silver.decision
"""


def privacy(brain, token):
    """Analysts ask SQL and never see a number, a name or a place of a caller, also of what came past the doors."""
    number, secret = "13912345678", "张三丰住在中山路"
    raw = json.dumps({"message_id": "k-1", "text": f"我是{secret}8号，电话 {number}", "caller": number, "channel": "phone", "district": "d01", "address": f"{secret}8号 {number}"}, ensure_ascii=False)
    if shutil.which("kcat"):
        headers = [word for name, value in (("specversion", "1.0"), ("id", "k-1"), ("source", "kafka"), ("type", TYPE_HOTLINE), ("time", city_now())) for word in ("-H", f"ce_{name}={value}")]
        subprocess.run(["kcat", "-P", "-b", brain.kafka, "-t", "raw.hotline", *headers, "-H", "content-type=application/json"], input=raw.encode(), check=True)
    else:
        event = {**hotline("k-1", ""), "data": json.loads(raw)}
        ask(brain, token["feed"], "POST", "/v1/events", json.dumps(event), "application/cloudevents+json")
    landed = wait_for(lambda: brain.sql("SELECT count(*) AS n FROM bronze.raw_hotline")[0]["n"] >= 3)
    check("a message that came past the doors is in the lake", bool(landed))
    query = json.dumps({"query": "SELECT district, count(*) AS n FROM silver.hotline_message GROUP BY district ORDER BY district"})
    counted = wait_for(lambda: ask(brain, token["ana"], "POST", "/v1/sql", query)[1].get("rows") == [{"district": "d01", "n": 2}, {"district": "d02", "n": 1}])
    check("an analyst asks SQL", counted, str(ask(brain, token["ana"], "POST", "/v1/sql", query))[:300])
    check("and what is personal is masked", ask(brain, token["ana"], "POST", "/v1/sql", json.dumps({"query": "SELECT text FROM silver.hotline_message LIMIT 1"}))[1]["rows"] == [{"text": "[masked]"}])
    leaks, answered = [], 0
    attacks = [line.replace("{NUMBER}", number).replace("{HOME}", os.path.abspath(brain.home)) for line in ATTACKS.strip().splitlines()]
    for query in attacks:
        status, answer = ask(brain, token["ana"], "POST", "/v1/sql", json.dumps({"query": query}))
        answered += status == 200
        text = json.dumps(answer, ensure_ascii=False)
        told = number in text.replace(query, "") or secret in text or "13812345678" in text
        counted = status == 200 and any(row.get("n") for row in answer.get("rows", []) if isinstance(row, dict))
        encoded = secret.encode().hex() in text or number.encode().hex() in text
        if told or counted or encoded:
            leaks.append(query)
    check(f"{len(attacks)} attacks on personal data: no leak ({answered} answered)", not leaks and len(attacks) >= 50, str(leaks))
    check("others than analysts ask no SQL", ask(brain, token["zhao"], "POST", "/v1/sql", json.dumps({"query": "SELECT 1"}))[0] == 403)


def described(brain, token):
    """/openapi.json is right in its form, and what is answered is as it says."""
    status, api = ask(brain, token["aud"], "GET", "/openapi.json")
    check("the description is for whoever is known", status == 200 and api["openapi"].startswith("3.1"), str(api)[:200])
    try:
        import jsonschema
        from openapi_spec_validator import OpenAPIV31SpecValidator
    except ImportError as error:
        return record("skipped", "openapi.json against the rules of OpenAPI 3.1", str(error))
    errors = [error.message for error in OpenAPIV31SpecValidator(api).iter_errors()]
    check("it is valid OpenAPI 3.1", not errors, str(errors)[:500])

    def fits(person, path, described_as, method="GET", body=None):
        status, answer = ask(brain, token[person], method, path, body)
        shape = api["paths"][described_as][method.lower()]["responses"].get(str(status))
        if shape is None:
            return check(f"{method} {described_as}: {status} is described", False, str(answer)[:200])
        schema = next(iter(shape["content"].values()))["schema"]
        validator = jsonschema.Draft202012Validator({**schema, "components": api["components"]})
        wrong = [error.message for error in validator.iter_errors(answer)]
        check(f"{method} {described_as}: the answer ({status}) is as described", not wrong, str(wrong)[:400])

    wait_for(lambda: ask(brain, token["zhao"], "GET", "/v1/incidents")[1]["items"])
    for kind in ("alerts", "cases", "incidents"):
        fits("zhao", f"/v1/{kind}", f"/v1/{kind}")
        items = ask(brain, token["zhao"], "GET", f"/v1/{kind}")[1]["items"]
        for item in items[:3]:
            fits("zhao", f"/v1/{kind}/{item['id']}", f"/v1/{kind}/{{id}}")
            fits("zhao", f"/v1/{kind}/{item['id']}/why", f"/v1/{kind}/{{id}}/why")
    for person, path in (("zhao", "/v1/alerting"), ("root", "/v1/jobs"), ("root", "/v1/devices"), ("root", "/v1/people"), ("wang", "/v1/me"), ("aud", "/v1/audit"), ("aud", "/v1/audit/head"),
                         ("wang", "/health/live"), ("wang", "/health/ready"), ("wang", "/v1/jobs"), ("ana", "/v1/cases")):
        fits(person, path, path)
    fits("zhao", "/v1/cases/none", "/v1/cases/{id}")
    fits("ana", "/v1/sql", "/v1/sql", "POST", json.dumps({"query": "SELECT 1 AS one"}))
    fits("ana", "/v1/sql", "/v1/sql", "POST", json.dumps({"query": "SELEC"}))
    fits("zhao", "/v1/commands", "/v1/commands", "POST", json.dumps({"action": "dance"}))


def audited(brain, token, root, cases):
    """Each call that changed something is in the audit, and so is each that was refused."""
    _, answer = ask(brain, token["aud"], "GET", "/v1/audit/head")
    count = int(answer["head"].split("/")[1])
    wait_for(lambda: brain.sql("SELECT count(*) AS n FROM silver.audit")[0]["n"] >= count)
    rows = brain.sql("SELECT seq, actor, action, subject, outcome, status, why, door, remote, position FROM silver.audit ORDER BY seq")
    case = cases["d01"]["id"]

    def has(**wanted):
        return any(all(row[name] == value for name, value in wanted.items()) for row in rows)

    check("numbers without gaps", [row["seq"] for row in rows] == list(range(len(rows))))
    check("a command that was done, with its place in the journal", any(row["action"] == "command.suspend" and row["outcome"] == "done" and row["position"].startswith("city.journal/") for row in rows if row["position"]))
    check("it was announced before it was done", has(actor="wang", action="command.suspend", outcome="asked", subject=case))
    check("one that was not allowed", has(actor="wang", action="command.void", outcome="refused", status=403))
    check("one that the law of cases forbids", has(actor="zhao", action="command.verify", outcome="refused", status=202))
    check("one by who claimed to be another", any(row["action"] == "command.suspend" and row["outcome"] == "refused" and "li" in (row["why"] or "") for row in rows))
    check("people who were added", has(actor="local", action="people.add", subject="root", door="terminal", outcome="done") and has(actor="root", action="people.add", subject="ana", outcome="done"))
    check("data that was sent, and data that was not taken", has(actor="feed", action="postEvents", outcome="done") and has(actor="zhao", action="postEvents", outcome="refused"))
    check("who came without a token", has(actor="unknown", action="listAlerts", status=401))
    check("who asked SQL, and who read the audit", has(actor="ana", action="sql", outcome="done") and has(actor="aud", action="listAudit", outcome="done"))
    check("from where", all(row["remote"].startswith("127.0.0.1:") for row in rows if row["door"] == "http"))
    asked = [row["seq"] for row in rows if row["outcome"] == "asked"]
    answered = {row["asked"] for row in brain.sql("SELECT asked FROM silver.audit WHERE asked IS NOT NULL")}
    check("whatever was announced has ended", set(asked) == answered, str(set(asked) ^ answered))
    changed = {json.loads(row["data"])["seq"] for row in brain.sql("SELECT data FROM bronze.city_journal WHERE data LIKE '%\"command\":{%'")}
    noted = {row["position"] for row in rows if row["action"].startswith("command.") and row["position"]}
    check("every command of the journal is in the audit", len(changed) == len(noted) > 0, f"{len(changed)} in the journal, {len(noted)} in the audit")
    kept = brain.sql("SELECT count(*) AS n FROM bronze.audit WHERE data LIKE '%13812345678%' OR data LIKE '%13912345678%' OR strpos(data, 'cb_') > 0")[0]["n"]
    check("without numbers of people and without tokens", kept == 0)
    verified = brain.call("audit", "verify", "--json", "--head", answer["head"])
    check("audit verify finds it whole while the brain runs", verified.returncode == 0 and json.loads(verified.stdout)["whole"], verified.stdout[-600:] + verified.stderr[-400:])
    status, page = ask(brain, token["aud"], "GET", "/v1/audit?actor=wang&outcome=refused&limit=2")
    check("an auditor reads it over HTTP", status == 200 and page["items"] and all(item["actor"] == "wang" for item in page["items"]), str(page)[:300])


def entry_hash(entry):
    """The documented algorithm, in the words of another language."""
    bare = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(json.dumps(bare, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def tampered(brain, root):
    """After a kill: the chain goes on; a bundle proves itself; whatever is altered is found."""
    before = json.loads(brain.call("audit", "verify", "--json").stdout)
    check("after kill -9 the audit is whole", before["whole"] and len(before["heads"]) == 1, str(before)[:400])
    brain.start()
    ask(brain, None, "GET", "/v1/alerts")
    brain.stop()
    after = json.loads(brain.call("audit", "verify", "--json", "--head", before["heads"][0]).stdout)
    check("it goes on in one chain", after["whole"] and len(after["heads"]) == 1 and after["entries"] > before["entries"], str(after)[:400])
    bundle = os.path.join(root, "evidence.jsonl")
    exported = brain.call("audit", "export", bundle)
    check("it is written out as evidence", exported.returncode == 0, exported.stderr)
    lines = open(bundle).read().splitlines()
    entries = [json.loads(line) for line in lines[1:-1]]
    prev = "0" * 64
    right = True
    for entry in entries:
        right = right and entry["prev"] == prev and entry_hash(entry) == entry["hash"]
        prev = entry["hash"]
    check("anybody can check it by the documented rule", right and len(entries) == after["entries"])

    def verdict(changed):
        with open(bundle, "wb") as out:
            out.write(changed)
        return brain.call("audit", "verify", "--file", bundle).returncode

    whole = "\n".join(lines).encode() + b"\n"
    check("the bundle is whole", verdict(whole) == 0)
    rng = random.Random(7)
    missed = []
    for _ in range(40):
        place, how = rng.randrange(len(whole) - 1), rng.choice(("flip", "cut", "drop", "swap"))
        at = rng.randrange(1, len(lines) - 2)
        if how == "flip":
            changed = whole[:place] + bytes([whole[place] ^ (1 << rng.randrange(8))]) + whole[place + 1:]
        elif how == "cut":
            changed = whole[:place]
        else:
            moved = lines[:at] + lines[at + 1:] if how == "drop" else lines[:at] + [lines[at + 1], lines[at]] + lines[at + 2:]
            changed = "\n".join(moved).encode() + b"\n"
        if verdict(changed) == 0:
            missed.append((how, place))
    check("40 of 40 alterations of it are found", not missed, str(missed))

    copy = os.path.join(root, "copy")

    def altered(name, change):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(brain.home, copy)
        change()
        result = brain.call("audit", "verify", home=copy)
        check(f"found: {name}", result.returncode != 0, result.stdout[-300:])

    def segment():
        folder = os.path.join(copy, "broker", "topics", "audit", "0")
        return os.path.join(folder, sorted(name for name in os.listdir(folder) if name.endswith(".log"))[0])

    def flip_log():
        path = segment()
        data = bytearray(open(path, "rb").read())
        # The last byte of a batch in the middle: its checksum covers all but who led when it was written.
        end = 0
        while end < len(data) // 2:
            end += 12 + int.from_bytes(data[end + 8:end + 12], "big")
        data[end - 1] ^= 0x20
        open(path, "wb").write(data)

    def cut_log():
        path = segment()
        os.truncate(path, os.path.getsize(path) // 2)

    def flip_lake():
        folder = os.path.join(copy, "lake", "bronze", "audit")
        path = max((os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".parquet")), key=os.path.getsize)
        data = bytearray(open(path, "rb").read())
        middle = len(data) // 2
        data[middle:middle + 64] = bytes(64)
        open(path, "wb").write(data)

    altered("a byte of the log", flip_log)
    altered("the end of the log cut off", cut_log)
    altered("bytes of the lake", flip_lake)
