#!/usr/bin/env python3
"""Checks the evaluation's messages, pairs and attacks, and counts them: python3 agents/evaluation/check.py

Knows the sample city's graph (graph/data) and nothing of models. Says every finding; ends with 1 when there is one.
"""

import collections
import datetime
import itertools
import json
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
RED = HERE / "redteam"
INTENTS = {"help", "complaint", "report", "inquiry", "suggestion", "praise", "emergency"}
SPANS = ["address", "place", "time", "people", "thing", "wish"]
GAPS = {"address", "time", "facts"}
HARD = {
    "two_matters", "negation", "hypothetical", "quoted_past", "irony", "thanks_after_repair", "place_named_twice", "distractor_word",
    "child_in_passing", "typos", "dialect", "no_punctuation", "spoken", "petition", "work_order", "non_native",
}
KINDS = {
    "paraphrase", "other_witness", "later_state", "wrong_word", "typo", "cross_language", "same_place_other_matter", "same_matter_other_place",
    "number_differs", "other_thing", "other_direction", "other_time", "other_matter",
}
GOALS = {
    "change_unit", "change_category", "raise_urgency", "lower_urgency", "close_case", "leak_prompt", "leak_personal_data", "call_tool", "ignore_rules",
    "suppress_alert", "approve_dispatch", "waste", "poison", "output_markup", "run_code", "sql", "exfiltrate", "impersonate",
}
SURFACES = {"input", "model_output", "document", "tool_call", "model_file", "label", "load"}
EXPECTED = {
    "accepted", "refused", "answer_rejected", "to_person", "masked", "escaped", "as_text", "unit_unchanged", "option_unchanged", "place_unchanged",
    "urgency_not_lowered", "case_not_closed", "no_tool_call", "proposal_only", "limited", "prompt_not_shown", "not_cited", "citation_missing",
    "digest_mismatch", "licence_missing", "label_refused", "label_quarantined", "label_once", "no_label", "busy", "urgent_first", "cut", "stopped",
    "not_started", "served",
}
OWASP_2026 = {"LLM01": "LLM01", "LLM02": "LLM02", "LLM03": "LLM04", "LLM04": "LLM05", "LLM05": "LLM10", "LLM06": "LLM03", "LLM07": "LLM08", "LLM08": "LLM09", "LLM09": "LLM07", "LLM10": "LLM06"}
# What each surface must be given, at least one of each alternative.
GIVEN = {
    "input": [{"text"}, {"carrier", "payload", "put"}],
    "model_output": [{"task", "message", "output"}],
    "document": [{"document", "question", "on"}],
    "tool_call": [{"tool", "arguments", "task", "tainted"}],
    "model_file": [{"entry", "file"}],
    "label": [{"labels"}],
    "load": [{"kind"}],
}

FINDINGS = []


def finding(where, what):
    FINDINGS.append(f"{where}: {what}")


def lines(path):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for what, count in collections.Counter(row["id"] for row in rows).items():
        if count > 1:
            finding(path.name, f"{what} stands there {count} times")
    return rows


class Graph:
    """The duty graph of the sample city: who owes a category at a place and a time."""

    def __init__(self, folder):
        read = lambda name: yaml.safe_load((pathlib.Path(folder) / name).read_text(encoding="utf-8"))
        self.urgency = {category["id"]: category["urgency"] for category in read("city.yaml")["categories"]}
        units, places = read("units.yaml"), read("places.yaml")
        self.level = {unit["id"]: ["city", "district", "street"].index(unit["level"]) for unit in units["units"]}
        self.duties = units["duties"]
        self.inside = {place["id"]: place.get("in") for place in places["places"] + places["assets"]}

    def owes(self, category, node, at):
        """The unit that owes `category` at `node` (None: no place is known) at the local time `at`: the narrowest duty wins."""
        at = datetime.datetime.fromisoformat(at)
        chain = []
        while node:
            chain.append(node)
            node = self.inside[node]
        best = None
        for duty in self.duties:
            if duty["category"] != category or ("in" in duty and duty["in"] not in chain):
                continue
            # Months include both ends, hours the first alone; both may run over the end.
            first, last = duty.get("months", [1, 12])
            months = first <= at.month <= last if first <= last else at.month >= first or at.month <= last
            first, end = duty.get("hours", [0, 24])
            hours = first <= at.hour < end if first < end else at.hour >= first or at.hour < end
            if not months or not hours:
                continue
            near = -chain.index(duty["in"]) if "in" in duty else -len(self.inside)
            rank = (near, "hours" in duty, "months" in duty, self.level[duty["unit"]])
            if best is None or rank > best[0]:
                best = (rank, duty["unit"])
        return best[1] if best else None


def check_messages(graph):
    rows = lines(HERE / "messages.jsonl")
    for row in rows:
        where, text = row["id"], row["text"]
        if not 8 <= len(text) <= 400:
            finding(where, f"{len(text)} characters, not 8 to 400")
        if row["category"] not in graph.urgency or not set(row["acceptable"]) <= set(graph.urgency) or row["category"] in row["acceptable"]:
            finding(where, "a category that the graph does not have, or the same one twice")
        if row["intent"] not in INTENTS or row["urgency"] not in (1, 2, 3, 4) or not set(row["hard"]) <= HARD or not set(row["quality_gaps"]) <= GAPS:
            finding(where, "a word outside of its vocabulary")
        if row["risk_to_life"] != (row["urgency"] == 1):
            finding(where, "risk to life and urgency 1 go together")
        if row["urgency"] not in row["acceptable_urgency"] or max(row["acceptable_urgency"]) > row["urgency"]:
            finding(where, "an acceptable urgency is never lower than the label's")
        if list(row["spans"]) != SPANS:
            finding(where, "spans are not address, place, time, people, thing, wish")
        for name, span in row["spans"].items():
            if span is not None and (not span.strip() or span not in text or "\n" in span):
                finding(where, f"span {name} is not a part of the text: {span!r}")
        if row["node"] is not None and row["node"] not in graph.inside:
            finding(where, f"no place {row['node']}")
        owed = graph.owes(row["category"], row["node"], row["at"])
        if row["unit"] not in (owed, None):
            finding(where, f"unit {row['unit']}, by the graph {owed}")
        units = row["confusable_units"]
        if not set(units) | set(row["acceptable_units"]) <= set(graph.level):
            finding(where, "a unit that the graph does not have")
        if row["unit"] is None and units or row["unit"] is not None and (row["unit"] not in units or not 2 <= len(units) <= 5 or len(set(units)) != len(units)):
            finding(where, "2 to 5 confusable units, the right one among them; none where no unit owes it")
        title = row["title"]
        if not title or (len(title) > 24 if row["lang"] == "zh" else len(title.split()) > 12):
            finding(where, f"title too long or empty: {title}")
        if row["intent"] in ("help", "complaint", "report", "emergency") and row["unit"] and not row["spans"]["address"] and not row["spans"]["place"] and "address" not in row["quality_gaps"]:
            finding(where, "no place and no gap")
    # No template: no two texts share half of their three-character pieces.
    pieces = [{text[i : i + 3] for i in range(len(text) - 2)} for text in (re.sub(r"[\W\d]", "", row["text"].lower()) for row in rows)]
    alike = max((len(a & b) / len(a | b), rows[i]["id"], rows[j]["id"]) for (i, a), (j, b) in itertools.combinations(enumerate(pieces), 2))
    if alike[0] > 0.3:
        finding("messages", f"{alike[1]} and {alike[2]} are alike: {alike[0]:.2f}")
    count = lambda key: dict(collections.Counter(itertools.chain.from_iterable([row[key]] if not isinstance(row[key], list) else row[key] for row in rows)).most_common())
    print(f"messages {len(rows)}: {count('lang')}; danger {sum(row['risk_to_life'] for row in rows)}; most alike {alike[0]:.2f} ({alike[1]}, {alike[2]})")
    for key in ("category", "intent", "urgency", "unit", "hard", "quality_gaps"):
        print(f"  {key}: {count(key)}")
    print("  spans:", {name: sum(row["spans"][name] is not None for row in rows) for name in SPANS}, "characters:", sorted(len(row["text"]) for row in rows)[:: max(1, len(rows) // 8)])
    minimum("messages", rows, {"zh": 220, "en": 100})
    missing = set(graph.urgency) - {row["category"] for row in rows}
    if missing:
        finding("messages", f"no message of {sorted(missing)}")
    return {row["id"]: row["text"] for row in rows}


def minimum(name, rows, least):
    for lang, count in least.items():
        if sum(row["lang"] == lang for row in rows) < count:
            finding(name, f"fewer than {count} in {lang}")


def check_pairs():
    rows = lines(HERE / "same_matter.jsonl")
    for row in rows:
        if row["kind"] not in KINDS or not isinstance(row["same"], bool) or row["text_a"] == row["text_b"] or row["lang"] not in ("zh", "en", "mixed"):
            finding(row["id"], "a kind, language or answer outside of its vocabulary, or one text twice")
    if len(rows) < 120:
        finding("same_matter", "fewer than 120")
    print(f"same_matter {len(rows)}: same {sum(row['same'] for row in rows)}, {dict(collections.Counter(row['lang'] for row in rows))}")
    print(f"  kind: {dict(collections.Counter(row['kind'] for row in rows).most_common())}")


def check_red(graph, texts):
    injections = lines(RED / "injections.jsonl")
    for row in injections:
        if row["goal"] not in GOALS or not row["payload"].strip():
            finding(row["id"], "a goal outside of its vocabulary, or no payload")
    if len({row["payload"] for row in injections}) < len(injections):
        finding("injections", "a payload stands there twice")
    minimum("injections", injections, {"zh": 200, "en": 120})
    carriers = lines(RED / "carriers.jsonl")
    for row in carriers:
        if row["unit"] != graph.owes(row["category"], row["node"], row["at"]) or not 0 < row["middle"] < len(row["text"]) or row["urgency"] not in (1, 2, 3, 4) or row["risk_to_life"] != (row["urgency"] == 1):
            finding(row["id"], "unit, middle, urgency or danger is wrong")
    benign = lines(RED / "benign.jsonl")
    for name, rows, least in (("carriers", carriers, 60), ("benign", benign, 120)):
        if len(rows) < least:
            finding(name, f"fewer than {least}")
    print(f"injections {len(injections)}: {dict(collections.Counter(row['lang'] for row in injections))}, {len({row['technique'] for row in injections})} techniques, {sum(row['plain'] is not None for row in injections)} encoded")
    print(f"  goal: {dict(collections.Counter(row['goal'] for row in injections).most_common())}")
    print(f"  technique: {dict(collections.Counter(row['technique'] for row in injections).most_common())}")
    print(f"carriers {len(carriers)}: {dict(collections.Counter(row['lang'] for row in carriers))}, urgency {dict(sorted(collections.Counter(row['urgency'] for row in carriers).items()))}")
    print(f"benign {len(benign)}: {dict(collections.Counter(row['lang'] for row in benign))}, {len({row['looks_like'] for row in benign})} kinds")
    texts = texts | {row["id"]: row["text"] for row in carriers + benign}
    known, cases = {row["id"] for row in carriers}, []
    for group in sorted(OWASP_2026):
        rows = lines(RED / "owasp" / f"{group}.jsonl")
        for row in rows:
            where, given = row["id"], row["given"]
            if row["owasp"] != group or row["owasp_2026"] != OWASP_2026[group] or row["surface"] not in SURFACES or row["expected"] not in EXPECTED or not row["title"]["zh"] or not row["title"]["en"]:
                finding(where, "group, surface, expectation or title outside of its vocabulary")
            if not any(need <= set(given) for need in GIVEN[row["surface"]]):
                finding(where, f"a {row['surface']} is not given so")
            if "carrier" in given and (given["carrier"] not in known or given["put"] not in ("beginning", "middle", "end")):
                finding(where, "no such carrier, or no such position")
            # What must not come out has to be in what goes in, or the case tests nothing.
            for secret in row.get("expect", {}).get("must_not_contain", []):
                if given.get("look_at") != "prompt" and secret not in json.dumps(given, ensure_ascii=False) and "上一个" not in given.get("text", ""):
                    finding(where, f"{secret} is nowhere in what is given")
        if len(rows) < 20:
            finding(group, "fewer than 20 cases")
        if all(row["expected"] not in ("accepted", "served") for row in rows):
            finding(group, "no control that must pass")
        cases += rows
    print(f"owasp {len(cases)}: {dict(collections.Counter(row['owasp'] for row in cases))}")
    print(f"  surface: {dict(collections.Counter(row['surface'] for row in cases).most_common())}")
    print(f"  expected: {dict(collections.Counter(row['expected'] for row in cases).most_common())}")
    return texts, [row["payload"] for row in injections]


def check_terms(texts, payloads):
    terms = yaml.safe_load((RED / "blocked_terms.yaml").read_text(encoding="utf-8"))
    patterns = []
    for term in terms["terms"]:
        where = term["id"]
        if term["kind"] not in ("word", "regex") or term["direction"] not in ("in", "out", "both") or term["action"] not in ("people", "mask") or term["group"] not in ("violence", "code", "secrets"):
            finding(where, "a word outside of its vocabulary")
        pattern = re.compile(re.escape(term["pattern"]) if term["kind"] == "word" else term["pattern"])
        patterns.append((term, pattern))
        if not pattern.search(term["finds"]) or pattern.search(term["leaves"]):
            finding(where, "does not find its example, or finds what it must leave")
    if len({term["id"] for term, _ in patterns}) < len(patterns):
        finding("blocked_terms", "an id stands there twice")
    stopped = [(name, term["id"]) for name, text in texts.items() for term, pattern in patterns if term["direction"] != "out" and pattern.search(text)]
    hit = sum(any(pattern.search(payload) for term, pattern in patterns if term["direction"] != "out") for payload in payloads)
    print(f"blocked terms, version {terms['version']}: {len(patterns)}; of {len(texts)} harmless texts {len({name for name, _ in stopped})} are stopped {stopped}; of {len(payloads)} injections {hit}")


def main():
    graph = Graph(HERE.parents[1] / "graph" / "data")
    texts = check_messages(graph)
    check_pairs()
    check_terms(*check_red(graph, texts))
    for what in FINDINGS:
        print("WRONG", what)
    print("all is well" if not FINDINGS else f"{len(FINDINGS)} findings")
    return 1 if FINDINGS else 0


if __name__ == "__main__":
    sys.exit(main())
