"""Puts a message together from statement, place, time, people, wish and frame, and says which words of it fill which slot.

Everything that a slot names is an exact substring of the text; `compose` asserts it.
"""

import re
from dataclasses import dataclass, replace
from random import Random

from .bank import fill, part, read_kinds, read_sections
from .entities import COMMON, LEVEL1, LEVEL2, Maker

SLOTS = ("address", "place", "time", "people", "thing", "wish")
TYPOS = ["的得", "的地", "在再", "做作", "吗嘛", "已己", "很狠", "没没", "那哪", "他她", "坐座", "只支", "报抱", "车军", "住主", "晚挽", "期其", "板版", "帐账", "象像", "必须", "话活", "清请", "带戴", "以己"]
FILLERS = ["那个", "嗯", "就是说", "然后", "这个", "哎呀", "反正", "我跟你讲", "对对", "呃", "晓得吧", "你晓得不"]
DIALECT = [("什么", "啥"), ("什么", "么子"), ("怎么", "咋"), ("我们", "俺们"), ("我们", "阿拉"), ("没有", "冇"), ("不知道", "不晓得"), ("这里", "这旮旯"), ("那里", "那疙瘩"), ("晚上", "夜里头"), ("小孩", "细伢子"), ("孩子", "娃儿"), ("厉害", "结棍"), ("不要", "莫")]


@dataclass
class Message:
    """A message with the truth about it."""

    text: str
    slots: dict[str, str | None]
    kind: str
    lang: str
    title: str
    other: str | None


class Composer:
    """Makes messages from one stream of chance, out of the training or the validation part of the banks."""

    def __init__(self, seed: int, validation: bool):
        self.rng = Random(seed)
        self.validation = validation
        self.make = Maker(self.rng, validation)
        self.kinds = {"zh": read_kinds("zh"), "en": read_kinds("en")}
        self.frames = {"zh": read_sections("frames_zh.txt"), "en": read_sections("frames_en.txt")}
        self.allowed: dict[int, list[str]] = {}

    def pick(self, items: list[str]) -> str:
        """One of the items that this part may use."""
        # Lists live as long as the banks, so that their identity may stand for them.
        allowed = self.allowed.get(id(items))
        if allowed is None:
            allowed = self.allowed[id(items)] = part(items, self.validation)
        return self.rng.choice(allowed)

    def section(self, lang: str, name: str) -> str:
        """One line of a section of frames."""
        return self.pick(self.frames[lang][name])

    def compose(self, lang: str, kind: str | None = None, long: bool = False, said: str | None = None) -> Message:
        """One message about a matter; of a given kind, and with given words for what is wrong, if told."""
        r, zh = self.rng, lang == "zh"
        about = self.kinds[lang][kind or r.choice(list(self.kinds[lang]))]
        found: dict[str, str] = {}
        statement, tail = (said, "") if said else self.statement(self.pick(about.s), found)
        slots: dict[str, str | None] = dict.fromkeys(SLOTS)
        slots["thing"], slots["people"] = found.get("thing"), found.get("people")
        has_place = r.random() < 0.9
        address, name = self.make.place() if zh else self.make.en_place()
        other = self.make.other() if zh else self.make.en_place()[1]
        frame = self.section(lang, "frame" if has_place else "only_scene")
        if long:
            frame = max((self.section(lang, "frame" if has_place else "only_scene") for _ in range(4)), key=len)
        fields: dict[str, str] = {}
        thing = slots["thing"]
        if zh and thing and statement.startswith(thing) and r.random() < 0.25 and not re.search(r"\{[TU]", frame):
            # "水管昨晚爆了": the time between the thing and what happened to it.
            slots["time"] = self.make.time()
            statement = thing + slots["time"] + statement[len(thing) :]

        def value(field: str) -> str:
            return fields[field] if field in fields else fields.setdefault(field, make(field))

        def make(field: str) -> str:
            if field == "L" or field == "l":
                return self.locate(lang, address, name, other, slots)
            if field == "LA":
                if address and r.random() < 0.75:
                    slots["address"] = address
                    slots["place"] = name
                    return address
                slots["place"] = name
                return name
            if field == "T":
                slots["time"] = self.make.time() if zh else self.make.en_time()
                return slots["time"]
            if field == "U":
                words = self.make.span() if zh else self.make.en_span()
                slots["time"] = slots["time"] or words
                return words
            if field in ("T2", "PT"):
                return self.make.time() if zh else self.make.en_time()
            if field == "S":
                return statement
            if field == "S2":
                # A second complaint of the same kind: its thing and people count only if the first had none.
                more: dict[str, str] = {}
                text, _ = self.statement(self.pick(about.s), more)
                return text
            if field == "Q":
                return self.people_in(self.pick(about.q), slots)
            if field == "W":
                return self.people_in(self.section(lang, "people"), slots)
            if field in ("X", "w"):
                wish = fill(self.pick(about.w) if r.random() < 0.6 else self.section(lang, "wish"), r, {})
                slots["wish"] = wish
                return wish if field == "w" else self.section(lang, "wishopen").replace("{w}", wish)
            if field in ("pre", "pre2", "open", "close", "noise"):
                return self.inner(self.section(lang, field if field != "pre2" else "pre"), value)
            if field == "prev":
                return self.inner(self.section(lang, "prev"), value)
            if field == "other":
                return other
            if field == "otherl":
                return r.choice(("on", "at", "near")) + " " + other
            if field == "noisep":
                return name if r.random() < 0.5 else other
            if field == "hours":
                return r.choice(("八点半到五点", "九点到下午五点", "早八点到晚八点", "9:00-17:00"))
            if field == "phone":
                return "1" + "".join(r.choice("3589") + r.choice("0123456789")) + "*" * 4 + "".join(r.choice("0123456789") for _ in range(4))
            raise KeyError(field)

        text = self.inner(frame, value)
        if "{noisep}" in frame and fields["noisep"] == name and slots["place"] is None:
            slots["place"] = name
        # Words that stand nowhere in the text (people of a statement do, by construction) may not be named.
        used_other = other if other in text and slots["place"] is not None and other not in slots["place"] and slots["place"] not in other else None
        title = self.title(lang, slots["place"], tail)
        message = Message(tidy(text, zh), slots, about.id, lang, title, used_other)
        return self.checked(self.roughen(message))

    def statement(self, line: str, found: dict[str, str]) -> tuple[str, str]:
        """A statement filled in, and its tail."""
        raw, tail = line.split("=>")
        text = fill(raw.strip(), self.rng, found)
        tail = tail.strip().replace("$", found.get("thing", ""))
        return text, tail.strip() or found.get("thing", "")

    def people_in(self, phrase: str, slots: dict[str, str | None]) -> str:
        """Fills a phrase; its people count if none were named before."""
        found: dict[str, str] = {}
        text = fill(phrase, self.rng, found)
        if "people" in found:
            if slots["people"] is None:
                slots["people"] = found["people"]
            else:
                return ""
        return text

    def inner(self, template: str, value) -> str:
        """Replaces the fields of a template, in order."""
        return re.sub(r"\{(\w+)\}", lambda m: value(m[1]), template.replace("[[NL]]", "\n"))

    def locate(self, lang: str, address: str | None, name: str, other: str, slots: dict[str, str | None]) -> str:
        """Words that say where, setting the slots "address" and "place"."""
        r = self.rng
        for _ in range(40):
            template = self.section(lang, "loc")
            if ("{A}" in template) == (address is not None and r.random() < 0.93):
                break
        if "{A}" in template and address is None:
            template = "{P}" if lang == "zh" else "at {P}"
        if "{A}" in template:
            slots["address"] = address
            if "{P}" in template and r.random() < 0.8:
                name = self.make.landmark() if lang == "zh" else f"{self.make.word()} Park"
            if "{P}" not in template and name not in (address or ""):
                raise AssertionError("a place's name must stand in its address")
        slots["place"] = name
        area = self.make.area() if lang == "zh" else ""
        if "{D}{A}" in template:
            slots["address"] = area + (address or "")
        rel = self.section(lang, "rel") if lang == "zh" else ""
        return template.replace("{A}", address or "").replace("{P}", name).replace("{r}", rel).replace("{other}", other).replace("{D}", area)

    def title(self, lang: str, place: str | None, tail: str) -> str:
        """Place and what is wrong, within the limits of length."""
        if lang == "zh":
            full = (place or "") + tail
            return full if len(full) <= 24 else tail[:24]
        tail = tail[:1].upper() + tail[1:]
        full = f"{tail} at {place}" if place else tail
        return full if len(full.split()) <= 12 else " ".join(tail.split()[:12])

    def roughen(self, m: Message) -> Message:
        """Spoken, sloppy or shouted writing; changes slots along with the text."""
        r = self.rng
        change = []
        if m.lang == "zh":
            if r.random() < 0.1:
                a, b = r.choice(TYPOS)
                change.append(lambda s: s.replace(a, b))
            if r.random() < 0.08:
                x, y = r.choice(DIALECT)
                change.append(lambda s: s.replace(x, y))
            if r.random() < 0.1:
                change.append(lambda s: s.translate(str.maketrans("，。！？：；", "      ")))
            elif r.random() < 0.07:
                change.append(lambda s: s.translate(str.maketrans({"，": "", "。": "", "！": "", "；": ""})))
            elif r.random() < 0.08:
                change.append(lambda s: s.translate(str.maketrans("，。！？：；", ",.!?:;")))
            elif r.random() < 0.08:
                at = r.choice(FILLERS)
                m = replace(m, text=re.sub("，", lambda _: "，" + (at + "，" if r.random() < 0.4 else ""), m.text))
        else:
            if r.random() < 0.18:
                change.append(str.lower)
            elif r.random() < 0.07:
                change.append(str.upper)
            if r.random() < 0.1:
                change.append(lambda s: s.translate(str.maketrans({",": "", ".": ""})))
            if r.random() < 0.06:
                change.append(lambda s: s.replace("the ", ""))
        change.append(lambda s: squeeze(s.replace('"', "'").replace("\\", "/")))
        for f in change:
            m = replace(m, text=f(m.text), slots={k: v and f(v) for k, v in m.slots.items()}, title=f(m.title), other=m.other and f(m.other))
        return m

    def checked(self, m: Message) -> Message:
        """Empties slots that are empty strings and asserts that all others stand in the text."""
        for key, words in m.slots.items():
            if not words:
                m.slots[key] = None
            elif words not in m.text:
                raise AssertionError(f"slot {key} is not a substring: {words!r} in {m.text!r}")
        return m

    def irrelevant(self, lang: str) -> Message:
        """A message about nothing that a city could act on."""
        text = self.section(lang, "irrelevant")
        return Message(squeeze(text), dict.fromkeys(SLOTS), "none", lang, "与城市事务无关" if lang == "zh" else "Not a city matter", None)

    def bare(self, lang: str) -> Message:
        """A short, dull message of names made of any characters: practice in copying."""
        r = self.rng
        if lang == "en":
            m = [self.make.word() for _ in range(6)]
            parts = {"address": f"{r.randint(1, 999)} {m[0]} {m[1]}", "time": self.make.en_time(), "people": m[2].lower() + " " + m[3].lower(), "thing": m[4].lower(), "wish": m[5].lower() + " it"}
            labels = {"address": "at {}", "place": "at {}", "time": "{}", "people": "{} hurt", "thing": "the {} is broken", "wish": "please {}"}
            sep = r.choice((". ", ", ", " - "))
        else:
            pool = LEVEL1 if r.random() < 0.7 else LEVEL1 + LEVEL2 if r.random() < 0.7 else COMMON
            name = lambda a, b: "".join(r.choice(pool) for _ in range(r.randint(a, b)))
            parts = {"address": f"{name(2, 3)}路{r.randint(1, 999)}号", "time": self.make.time(), "people": name(2, 4), "thing": name(2, 4), "wish": name(3, 6)}
            labels = {"address": r.choice(("在{}", "地址{}", "{}这里")), "place": r.choice(("在{}", "{}附近")), "time": "{}", "people": r.choice(("{}受伤", "有{}被困")), "thing": r.choice(("{}坏了", "那个{}出了问题")), "wish": r.choice(("请{}", "希望{}"))}
            sep = r.choice(("，", "。", " ", "；"))
        if r.random() < 0.5:
            parts["place"] = parts["address"].split("路")[0] + "路" if lang == "zh" else parts["address"].split(" ", 1)[1]
        else:
            parts["place"] = parts.pop("address") if lang == "en" else name(2, 4) + r.choice(("小区", "村", "广场", "学校", "站"))
            parts.pop("address", None)
        keep = [k for k in parts if r.random() < 0.6] or ["place"]
        if "address" in keep and "place" not in keep:
            keep.append("place")
        show = [k for k in keep if not (k == "place" and "address" in keep)]
        r.shuffle(show)
        text = sep.join(labels[k].format(parts[k]) for k in show)
        m = Message(squeeze(text), dict.fromkeys(SLOTS), "none", lang, "", None)
        m.slots.update({k: parts[k] for k in keep})
        return self.checked(m)


def squeeze(text: str) -> str:
    """White space runs become one space."""
    return re.sub(r"\s+", " ", text).strip()


def tidy(text: str, zh: bool) -> str:
    """Removes doubled punctuation that empty fields leave behind."""
    text = re.sub(r"[ \t]+", " ", text)
    if zh:
        text = re.sub(r"[，、](?=[，。！？；])|(?<=[，。！？；：])[，。；]", "", text)
        text = re.sub(r"(?<=[，。！？；])[，。；！](?=.)", "", text)
        return text.strip("， \n")
    text = re.sub(r"\s+([.,!?])", r"\1", text)
    text = re.sub(r"([.,!?])[.,](?=\s|$)", r"\1", text)
    text = re.sub(r"^[.,\s]+", "", text)
    return text.strip()
