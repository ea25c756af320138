"""Reads the banks of phrases and fills one of them in.

A bank is plain text. `== id | group in Chinese | group in English` opens a problem type; lines under it are `cat:` names of its category, `exp:` words that explain
it, `unit:` names of bodies, `duty:` what they do, `w:` wishes, `q:` consequences (all separated by ` | `), and `s:` one statement each, with `=>` and the tail of a
title. `words_*.txt` adds to each type `k:` words that point to it, `n:` more names of categories and bodies, `c:` clauses in other wording.
In a phrase `[a|b]` is a choice, `<a|b>` the facility or object (the slot "thing"), `(p:a|b)` people, `$` in a tail the chosen thing.
It knows no places, times or messages.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

FOLDER = Path(__file__).parent / "bank"


@dataclass
class Kind:
    """One problem type in one language."""

    id: str
    group: str
    cat: list[str] = field(default_factory=list)
    exp: list[str] = field(default_factory=list)
    unit: list[str] = field(default_factory=list)
    duty: list[str] = field(default_factory=list)
    w: list[str] = field(default_factory=list)
    q: list[str] = field(default_factory=list)
    s: list[str] = field(default_factory=list)
    k: list[str] = field(default_factory=list)
    n: list[str] = field(default_factory=list)
    c: list[str] = field(default_factory=list)


def read_kinds(lang: str) -> dict[str, Kind]:
    """All problem types of a language, in order."""
    kinds: dict[str, Kind] = {}
    for path in [*sorted(FOLDER.glob(f"{lang}_*.txt")), *sorted(FOLDER.glob(f"words_{lang}*.txt"))]:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if line.startswith("== "):
                name, *groups = line[3:].split(" | ")
                kind = kinds[name] if name in kinds else kinds.setdefault(name, Kind(name, groups[0]))
            elif line.startswith("s: "):
                if "=>" not in line:
                    raise ValueError(f"{path.name}:{number}: a statement needs '=>' and a tail")
                kind.s.append(line[3:])
            elif ": " in line and not line.startswith("#"):
                key, rest = line.split(": ", 1)
                getattr(kind, key).extend(split_top(rest, " | "))
    return kinds


def read_sections(name: str) -> dict[str, list[str]]:
    """The sections of a file of frames."""
    sections: dict[str, list[str]] = {}
    for line in (FOLDER / name).read_text("utf-8").splitlines():
        if line.startswith("[[") and line.endswith("]]") and "{" not in line:
            current = sections.setdefault(line[2:-2], [])
        elif line and not line.startswith("#"):
            current.append(line)
    return sections


def split_top(text: str, mark: str) -> list[str]:
    """Splits at `mark` outside of brackets."""
    parts, depth, start, i = [], 0, 0, 0
    while i < len(text):
        if text[i] in "[<(":
            depth += 1
        elif text[i] in "]>)":
            depth -= 1
        elif depth == 0 and text.startswith(mark, i):
            parts.append(text[start:i])
            i += len(mark)
            start = i
            continue
        i += 1
    return [*parts, text[start:]]


def fill(text: str, rng: Random, found: dict[str, str]) -> str:
    """One reading of a phrase; what stands in `<>` and `(p:)` goes into `found` as "thing" and "people", the first of each."""
    out, i = [], 0
    while i < len(text):
        char = text[i]
        if char in "[<" or text.startswith("(p:", i):
            close = {"[": "]", "<": ">", "(": ")"}[char]
            depth, end = 0, i
            while True:
                depth += text[end] == char
                depth -= text[end] == close
                if depth == 0:
                    break
                end += 1
            inner = text[i + (3 if char == "(" else 1) : end]
            value = fill(rng.choice(split_top(inner, "|")), rng, found)
            if char == "<":
                found.setdefault("thing", value)
            elif char == "(":
                found.setdefault("people", value)
            out.append(value)
            i = end + 1
        else:
            out.append(char)
            i += 1
    return "".join(out)


def held_out(items: list[str]) -> set[str]:
    """The tenth (at least one, of lists with five or more) that only validation may use: those with the smallest digests."""
    if len(items) < 5:
        return set()
    order = sorted(items, key=lambda x: hashlib.sha256(x.encode()).digest())
    return set(order[: max(1, round(len(items) / 10))])


def part(items: list[str], validation: bool) -> list[str]:
    """The items that training (or validation) may use; lists too short to divide serve both."""
    held = held_out(items)
    if not held:
        return items
    return [x for x in items if (x in held) == validation]
