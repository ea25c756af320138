"""Measures a checkpoint on held-out phrases and places, and on hand-written messages, each number beside simple baselines of the same run.

    python evaluate.py CHECKPOINT.npz [--examples 400] [--handwritten tests/handwritten.jsonl]

The weights are rounded to q8_0 first, as they are in the exported file. Decoding is greedy; extraction is measured freely and under a form that allows only parts of the
message as values, as the engine's grammar does.
"""

import argparse
import json
import os
import re
from collections import Counter
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import gguf  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import encode  # noqa: E402
import tokenizer as tokens  # noqa: E402
from decode import Form, formed, greedy, nearest  # noqa: E402
from generator.compose import SLOTS  # noqa: E402
from generator.tasks import Choice, Source  # noqa: E402
from model import MATRICES, Shape  # noqa: E402

HERE = Path(__file__).parent
ZH_PLACE = r"[一-龥]{1,6}?(?:小区|花园|家园|苑|新村|公寓|社区|村|广场|公园|大桥|小学|中学|医院|市场|大道|路|街|巷|站|大厦|镇)"
ZH_ADDRESS = r"[一-龥A-Z]{2,12}?(?:路|街|大道|巷|弄|村|小区|花园|苑)[0-9一二三四五六七八九十]+(?:号|弄|组|栋|幢|号楼)(?:[0-9一二三四五六七八九十A-Z\-]+(?:栋|号楼|幢|单元|室|号|楼))*"
EN_STREET = r"(?:[A-Z][a-z]+ )+(?:Street|St|Road|Rd|Avenue|Ave|Lane|Drive|Court|Boulevard|Way|Park|School|Station|Bridge|Hospital)"
TIME = (
    r"(?:\d{4}年)?\d{1,2}月\d{1,2}[日号]|(?:昨天|今天|前天|昨晚|今早|刚才|上周|上个月|去年)(?:[早晚上下中凌][上午晨])?(?:[0-9一二三四五六七八九十]+点半?)?"
    r"|[0-9一二两三四五六七八九十半]+个?(?:天|月|小时|年)|(?:yesterday|today|last \w+|this morning|since \w+|\w+ (?:days|weeks|hours) ago|\d+ (?:days|weeks|months))"
)
WISH = r"(?:请|希望|要求|麻烦|[Pp]lease|[Cc]ould you|[Cc]an you) ?(?:领导|有关部门|你们|相关部门)?([^，。！？,.!?]{2,24})"
PEOPLE = r"(?:[一二两三四五几]|\d+)(?:个|名|位)[一-龥]{1,3}|my \w+|a (?:man|woman|child|girl|boy)|\w+ people"


def first(pattern: str, text: str, group: int = 0) -> str | None:
    """The first match."""
    found = re.search(pattern, text)
    return found[group].strip() if found else None


def by_rules(text: str) -> dict[str, str | None]:
    """The baseline of extraction: one regular expression for a slot."""
    return {
        "address": first(ZH_ADDRESS, text) or first(r"\d+ " + EN_STREET, text),
        "place": first(ZH_PLACE, text) or first(EN_STREET, text),
        "time": first(TIME, text),
        "people": first(PEOPLE, text),
        "thing": None,
        "wish": first(WISH, text, 1),
    }


def by_overlap(message: str, options: list[str]) -> int:
    """The baseline of choice: the option that shares the most pairs of characters (then characters) with the message, for its length."""
    pairs = lambda s: {s[i : i + 2].lower() for i in range(len(s) - 1)}
    message_pairs, message_chars = pairs(message), set(message.lower())
    return max(range(len(options)), key=lambda i: (len(pairs(options[i]) & message_pairs) / (len(options[i]) + 5), len(set(options[i].lower()) & message_chars)))


def rounded(params: dict[str, np.ndarray]) -> dict:
    """The parameters as they are after q8_0."""

    def q8(values: np.ndarray) -> np.ndarray:
        q = gguf.quants.quantize(np.ascontiguousarray(values), gguf.GGMLQuantizationType.Q8_0)
        return gguf.quants.dequantize(q, gguf.GGMLQuantizationType.Q8_0)

    out = {}
    for name, v in params.items():
        if name == "emb":
            v = q8(v)
        elif name in MATRICES:
            v = np.stack([q8(x.T).T for x in v])
        out[name] = jnp.array(v)
    return out


def parse(answer: str) -> dict | None:
    """The answer's slots; None if it is not of the contract's form."""
    try:
        value = json.loads(answer)
    except ValueError:
        return None
    good = isinstance(value, dict) and tuple(value) == SLOTS and all(v is None or isinstance(v, str) for v in value.values())
    return value if good else None


def share(hits: list[bool]) -> str:
    """A share with its count."""
    return f"{np.mean(hits):.3f} ({len(hits)})" if hits else "- (0)"


class Judge:
    """A model, its tokenizer and what it answers."""

    def __init__(self, checkpoint: str, tokenizer: str):
        data = np.load(checkpoint)
        self.shape = Shape(**{k: float(v) if k in ("rope_base", "eps") else int(v) for k, v in data["shape"]})
        self.params = rounded({k[2:]: data[k] for k in data.files if k.startswith("p.")})
        self.tok = tokens.load(tokenizer)

    def say(self, examples: list, most: int) -> list[str]:
        """Greedy answers."""
        prompts = [encode.prompt(self.tok, *e[:2]) for e in examples]
        return [self.tok.decode(ids, skip_special_tokens=False) for ids in greedy(self.params, self.shape, prompts, most)]

    def say_formed(self, examples: list, most: int) -> list[str]:
        """Greedy answers in which every value is a part of the message."""
        one = lambda text: self.tok.encode(text).ids[0]
        pieces = {p: one(p) for p in ('{"', '":', '":"', "null", ',"', '","', "}", '"}')}
        keys = [one(k) for k in SLOTS]
        forms = [Form(pieces, keys, self.tok.encode(tokens.clean(e[1])).ids) for e in examples]
        prompts = [encode.prompt(self.tok, *e[:2]) for e in examples]
        return [self.tok.decode(ids, skip_special_tokens=False) for ids in formed(self.params, self.shape, prompts, forms, most)]

    def extract(self, name: str, examples: list) -> None:
        """Prints exact matches of slots, free and formed, beside the rules'."""
        free = [parse(a) for a in self.say(examples, 128)]
        print(f"\n{name}: extract without a form, {len(examples)} messages; right in form {np.mean([a is not None for a in free]):.3f}, all slots substrings "
              f"{share([all(v is None or v in e[1] for v in a.values()) for a, e in zip(free, examples) if a])}, "
              f"slots right {np.mean([bool(a) and a[k] == json.loads(e[2])[k] for a, e in zip(free, examples) for k in SLOTS]):.3f}")
        answers = [parse(a) for a in self.say_formed(examples, 128)]
        rules = [by_rules(e[1]) for e in examples]
        truth = [json.loads(e[2]) for e in examples]
        valid = [all(v is None or v in e[1] for v in a.values()) for a, e in zip(answers, examples) if a]
        print(f"{name}: extract under a form, {len(examples)} messages; answers of the right form {np.mean([a is not None for a in answers]):.3f}, all slots substrings {share(valid)}")
        print(f"{'slot':8} {'model':>6} {'rules':>6} {'null':>6} | where there is something to find: model, rules (count) | model names nothing where nothing is")
        for slot in SLOTS:
            hit = [bool(a) and a[slot] == t[slot] for a, t in zip(answers, truth)]
            hit_rules = [r[slot] == t[slot] for r, t in zip(rules, truth)]
            some = [i for i, t in enumerate(truth) if t[slot] is not None]
            none = [i for i, t in enumerate(truth) if t[slot] is None]
            print(
                f"{slot:8} {np.mean(hit):6.3f} {np.mean(hit_rules):6.3f} {np.mean([t[slot] is None for t in truth]):6.3f} | "
                f"{np.mean([hit[i] for i in some]) if some else 0:.3f} {np.mean([hit_rules[i] for i in some]) if some else 0:.3f} ({len(some)}) | {np.mean([hit[i] for i in none]) if none else 0:.3f}"
            )

    def title(self, name: str, examples: list) -> None:
        """Prints validity of titles and how many equal the reference."""
        answers = self.say(examples, 48)
        fits = [0 < len(a) <= 24 if re.search("[一-龥]", e[1]) else 0 < len(a.split()) <= 12 for a, e in zip(answers, examples)]
        place = [i for i, e in enumerate(examples) if len(e) > 3 and e[3]]
        said = [len(set(a) - set(e[1]) - set(e[2])) == 0 for a, e in zip(answers, examples)]
        lead = [e[1][:24] if re.search("[一-龥]", e[1]) else " ".join(e[1].split()[:12]) for e in examples]
        overlap = lambda texts: np.mean([f1(t, e[2]) for t, e in zip(texts, examples)])
        print(f"\n{name}: title, {len(examples)}; length within limits {share(fits)}, equal to the reference {share([a == e[2] for a, e in zip(answers, examples)])}")
        print(f"characters in common with the reference (F1): model {overlap(answers):.3f}, first words of the message {overlap(lead):.3f}; no character from elsewhere {share(said)}")
        if place:
            print(f"names the place: {share([examples[i][3] in answers[i] for i in place])}")

    def choose(self, name: str, choices: list[Choice], sharpness: float) -> None:
        """Prints accuracy of choice, by number of options and by what is chosen, beside baselines; and how often choices are right that are sure."""
        cosines = nearest(self.params, self.shape, self.tok, choices)
        picked = [int(np.argmax(c)) for c in cosines]
        sure = [float(np.max(shares(c, sharpness))) for c in cosines]
        common = Counter(c.right for c in choices).most_common(1)[0][0]
        rows = [("all", range(len(choices)))] + [(f"{n} options", [i for i, c in enumerate(choices) if len(c.options) == n]) for n in range(2, 9)]
        rows += [(sort, [i for i, c in enumerate(choices) if is_of(c)]) for sort, is_of in (("subject", lambda c: c.space == "subject"), ("none fits", lambda c: c.kinds[c.right] == "other"), ("what it wants", lambda c: c.space == "nature"))]
        print(f"\n{name}: choose, {len(choices)}: model, overlap of characters, commonest place, chance (count)")
        for label, rows_of in rows:
            if len(rows_of):
                share_of = lambda hits: np.mean([hits(i) for i in rows_of])
                print(
                    f"{label:14} {share_of(lambda i: picked[i] == choices[i].right):.3f} {share_of(lambda i: by_overlap(choices[i].message, choices[i].options) == choices[i].right):.3f} "
                    f"{share_of(lambda i: common == choices[i].right):.3f} {share_of(lambda i: 1 / len(choices[i].options)):.3f} ({len(rows_of)})"
                )
        for low, high in ((0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
            within = [i for i in range(len(choices)) if low <= sure[i] < high]
            if within:
                print(f"said to be sure {low:.1f}-{min(high, 1):.1f}: mean {np.mean([sure[i] for i in within]):.3f}, right {np.mean([picked[i] == choices[i].right for i in within]):.3f} ({len(within)})")


def shares(cosines: np.ndarray, sharpness: float) -> np.ndarray:
    """The options' shares."""
    e = np.exp(sharpness * (cosines - cosines.max()))
    return e / e.sum()


def sharpness_of(judge: "Judge", count: int) -> float:
    """What makes shares of choices on phrases that nobody trained on as likely as they say: the factor of the least mean surprise (Guo et al. 2017)."""
    source = Source(990_002, validation=True)
    choices = [source.choice() for _ in range(count)]
    cosines = nearest(judge.params, judge.shape, judge.tok, choices)
    surprise = lambda s: -np.mean([np.log(shares(c, s)[x.right]) for c, x in zip(cosines, choices)])
    return float(min(np.arange(1.0, 40.0, 0.5), key=surprise))


def f1(a: str, b: str) -> float:
    """Characters in common."""
    common = sum((Counter(a) & Counter(b)).values())
    return 2 * common / (len(a) + len(b)) if a and b else 0.0


def held_out(task: str, count: int) -> list:
    """Examples of held-out templates and places."""
    source = Source(990_001, validation=True)
    return [source.choice() if task == "choose" else source.example("all", task) for _ in range(count)]


def handwritten(path: Path) -> dict[str, list]:
    """Hand-written examples, as the generator's."""
    out: dict[str, list] = {"extract": [], "title": [], "choose": []}
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        if "options" in row:
            right = row["answer"]
            kinds = ["" if i != right else "right" for i in range(len(row["options"]))]
            out["choose"].append(Choice(row["text"], row["options"], kinds, right, "right", "subject"))
        else:
            slots = {k: row["slots"].get(k) for k in SLOTS}
            for words in slots.values():
                if words is not None and words not in row["text"]:
                    raise ValueError(f"{path}: {words!r} is not in {row['text']!r}")
            out["extract"].append(("extract", row["text"], json.dumps(slots, ensure_ascii=False)))
            out["title"].append(("title", row["text"], row["title"], slots["place"]))
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--tokenizer", default=str(HERE / "tokenizer.json"))
    parser.add_argument("--examples", type=int, default=400)
    parser.add_argument("--handwritten", default=str(HERE / "tests" / "handwritten.jsonl"))
    args = parser.parse_args()
    judge = Judge(args.checkpoint, args.tokenizer)
    sharpness = sharpness_of(judge, 1000)
    print(f"sharpness of choices: {sharpness}")
    sets = [("held-out phrases and places", {task: held_out(task, args.examples) for task in ("extract", "title", "choose")}), ("hand-written", handwritten(Path(args.handwritten)))]
    for name, examples in sets:
        judge.extract(name, examples["extract"])
        judge.title(name, examples["title"])
        judge.choose(name, examples["choose"], sharpness)
