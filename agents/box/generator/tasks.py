"""Turns messages into examples of the three tasks, in the words of the contract between model, prompts and engine.

An example is (task, message, options or None, answer). Options are drawn from several ways of naming the same things, in random numbers and order, so that
the model has to read them.
"""

import json
from random import Random

from .compose import SLOTS, Composer, Message, squeeze

LETTERS = "ABCDEFGH"
LIMIT = 60
NATURE = {
    "zh": {
        "report": ["投诉举报", "反映问题、要求处理", "市民投诉：有东西坏了或有人违规", "求助投诉", "报修与举报", "不满，要求解决"],
        "ask": ["咨询", "咨询：问政策、问办法", "只是想打听情况", "询问办事流程"],
        "praise": ["表扬", "感谢表扬", "表扬：感谢工作人员", "点赞好人好事"],
        "advise": ["建议", "提建议", "建议：希望增设或改进", "对城市的意见建议"],
        "none": ["无关内容", "与城市事务无关", "闲聊、打错、广告", "无效信息"],
    },
    "en": {
        "report": ["complaint or report", "report: something is broken or wrong", "asks the city to fix a problem"],
        "ask": ["question", "question: wants information", "asks how something works"],
        "praise": ["praise", "thanks to staff", "compliment"],
        "advise": ["suggestion", "proposes an improvement", "idea for the city"],
        "none": ["irrelevant", "not a city matter", "spam, chat or a wrong number"],
    },
}
SAME = {
    "zh": [("同一件事：{}", "不是同一件事：{}"), ("是同一件事（{}）", "不是同一件事"), ("与“{}”是同一件事", "与它不是同一件事"), ("同一件事 {}", "另一件事")],
    "en": [("same matter: {}", "not the same matter: {}"), ("same as: {}", "a different matter"), ("same event ({})", "another event")],
}
NEITHER = {"zh": ["都不是", "新的事件", "以上都不是", "没有相同的"], "en": ["none of these", "a new matter"]}
SCENE = {"zh": ["{}", "地点：{}", "事发地是{}", "发生在{}", "现场在{}"], "en": ["{}", "scene: {}", "it happened at {}", "at {}"]}


def extract(m: Message) -> tuple[str, str, None, str]:
    """All slots as compact JSON."""
    return "extract", m.text, None, json.dumps({k: m.slots[k] for k in SLOTS}, ensure_ascii=False, separators=(",", ":"))


def title(m: Message) -> tuple[str, str, None, str]:
    """A title."""
    return "title", m.text, None, m.title


class Chooser:
    """Makes examples of choosing."""

    def __init__(self, composer: Composer):
        self.c, self.rng = composer, composer.rng

    def example(self, lang: str) -> tuple[str, str, list[str], str]:
        """One example of a random sort."""
        while True:
            sort = self.rng.choices((self.category, self.unit, self.same, self.case, self.scene, self.nature, self.area), (36, 24, 11, 8, 9, 7, 5))[0]
            made = sort(lang)
            if made:
                return made

    def finish(self, m: Message, right: str, wrong: list[str]):
        """Shuffles the options; none if two of them are equal."""
        right, wrong = squeeze(right)[:LIMIT].strip(), [squeeze(w)[:LIMIT].strip() for w in wrong]
        options = list(dict.fromkeys([right, *wrong]))[:8]
        if len(options) < 2:
            return None
        self.rng.shuffle(options)
        return "choose", m.text, options, LETTERS[options.index(right)]

    def others(self, lang: str, kind: str) -> list[str]:
        """Ids of one to seven other kinds, near ones more often."""
        r = self.rng
        kinds = self.c.kinds[lang]
        ids = [k for k in kinds if k != kind]
        near = [k for k in ids if kinds[k].group == kinds[kind].group]
        chosen = [r.choice(near) if near and r.random() < 0.25 else r.choice(ids) for _ in range(r.randint(1, 7))]
        return list(dict.fromkeys(chosen))

    def options_lang(self, lang: str) -> str:
        """The language of the options, seldom the other one."""
        return lang if self.rng.random() < 0.9 else ("en" if lang == "zh" else "zh")

    def category(self, lang: str):
        """Which category?"""
        r, m = self.rng, self.c.compose(lang)
        lang = self.options_lang(lang)
        kinds = self.c.kinds[lang]
        style = r.choice(("name", "both", "both", "both", "words", "group"))

        def words(id: str) -> str:
            k = kinds[id]
            name, exp = r.choice(k.cat), r.choice(k.exp)
            if style == "name":
                return name
            if style == "words":
                return exp
            if style == "group":
                return f"{k.group}{'：' if lang == 'zh' else ': '}{name}"
            return r.choice(("{}：{}", "{}（{}）", "{}-{}", "{} {}") if lang == "zh" else ("{}: {}", "{} ({})", "{} - {}")).format(name, exp)

        return self.finish(m, words(m.kind), [words(k) for k in self.others(lang, m.kind)])

    def unit(self, lang: str):
        """Which body deals with it?"""
        r, m = self.rng, self.c.compose(lang)
        lang = self.options_lang(lang)
        kinds = self.c.kinds[lang]
        style = r.random()

        def words(id: str) -> str:
            k = kinds[id]
            unit, duty = r.choice(k.unit), r.choice(k.duty if r.random() < 0.7 else k.exp)
            if lang == "zh":
                unit = (self.c.make.stem() + r.choice(("区", "市", "县", "街道")) if r.random() < 0.3 else r.choice(("", "", "市", "区"))) + unit
                return unit if style < 0.15 else r.choice(("{}：{}", "{}（{}）", "{}，{}", "{} {}")).format(unit, duty)
            return unit if style < 0.15 else r.choice(("{}: {}", "{} ({})", "{}, {}")).format(unit, duty)

        return self.finish(m, words(m.kind), [words(k) for k in self.others(lang, m.kind)])

    def case_text(self, lang: str, place: str, raw: str) -> str:
        """A short second message about a matter."""
        found: dict[str, str] = {}
        body, tail = self.c.statement(raw, found)
        short = tail if self.rng.random() < 0.45 else body
        if lang == "zh":
            return (place + self.rng.choice(("", "", "附近", "有人说")) + short)[:44]
        return f"{short} at {place}"[:46]

    def same(self, lang: str):
        """The same matter or not?"""
        r = self.rng
        m = self.c.compose(lang)
        if not m.slots["place"]:
            return None
        yes, no = r.choice(SAME[lang])
        truth = r.random() < 0.5
        place, raw = m.slots["place"], m.raw
        if not truth:
            kinds = self.c.kinds[lang]
            if r.random() < 0.6:
                place = m.other or (self.c.make.other() if lang == "zh" else self.c.make.en_place()[1])
            if place == m.slots["place"] or r.random() < 0.4:
                raw = self.c.pick(kinds[r.choice([k for k in kinds if k != m.kind])].s)
        text = self.case_text(lang, place, raw)
        yes, no = yes.replace("{}", text), no.replace("{}", text)
        return self.finish(m, yes if truth else no, [no if truth else yes])

    def case(self, lang: str):
        """Which of several earlier cases is it, if any?"""
        r = self.rng
        m = self.c.compose(lang)
        if not m.slots["place"]:
            return None
        kinds = self.c.kinds[lang]
        right = self.case_text(lang, m.slots["place"], m.raw)
        wrong = []
        for _ in range(r.randint(1, 4)):
            near = r.random() < 0.3
            place = m.slots["place"] if near else (self.c.make.other() if lang == "zh" else self.c.make.en_place()[1])
            kind = m.kind if not near and r.random() < 0.4 else r.choice([k for k in kinds if k != m.kind])
            wrong.append(self.case_text(lang, place, self.c.pick(kinds[kind].s)))
        if r.random() < 0.25:
            return self.finish(m, r.choice(NEITHER[lang]), wrong)
        return self.finish(m, right, wrong + ([r.choice(NEITHER[lang])] if r.random() < 0.4 else []))

    def scene(self, lang: str):
        """Which of two places is the scene?"""
        for _ in range(30):
            m = self.c.compose(lang)
            if m.other and m.slots["place"]:
                style = self.rng.choice(SCENE[lang])
                return self.finish(m, style.format(m.slots["place"]), [style.format(m.other)])
        return None

    def nature(self, lang: str):
        """Complaint, question, praise, suggestion or nothing?"""
        r = self.rng
        truth = r.choice(list(NATURE[lang]))
        m = self.c.irrelevant(lang) if truth == "none" else self.c.compose(lang, None if truth == "report" else truth)
        if truth == "report" and m.kind in NATURE[lang]:
            return None
        lang = self.options_lang(lang)
        rest = [k for k in NATURE[lang] if k != truth]
        r.shuffle(rest)
        return self.finish(m, r.choice(NATURE[lang][truth]), [r.choice(NATURE[lang][k]) for k in rest[: r.randint(1, 4)]])

    def area(self, lang: str):
        """Bodies with the same duty in different places: the place decides."""
        r = self.rng
        m = self.c.compose(lang)
        k = self.c.kinds[lang][m.kind]
        place = m.slots["place"]
        if not place:
            return None
        unit, duty = r.choice(k.unit), r.choice(k.duty)
        other = [m.other] if m.other else [self.c.make.other() if lang == "zh" else self.c.make.en_place()[1] for _ in range(r.randint(1, 3))]
        form = r.choice(("{u}{p}片区：{d}", "{u}（管{p}）", "{p}一带的{u}")) if lang == "zh" else r.choice(("{u}, {p} district", "{u} for {p}"))
        say = lambda p: form.format(u=unit, p=p, d=duty)
        return self.finish(m, say(place), [say(o) for o in other])


class Source:
    """An endless stream of examples from one seed."""

    def __init__(self, seed: int, validation: bool = False):
        self.composer = Composer(seed, validation)
        self.rng: Random = self.composer.rng
        self.chooser = Chooser(self.composer)

    def example(self, stage: str = "all", task: str | None = None):
        """One example. Stages: "copy" (short and dull, to learn copying), "short", "all"."""
        r, c = self.rng, self.composer
        lang = "zh" if r.random() < 0.7 else "en"
        if stage == "copy" and r.random() < 0.75:
            return extract(c.bare(lang))
        task = task or r.choices(("extract", "title", "choose"), (64, 20, 16) if stage == "all" else (75, 12, 13))[0]
        if task == "choose":
            return self.chooser.example(lang)
        if r.random() < 0.02:
            m = c.irrelevant(lang)
        elif task == "extract" and r.random() < 0.04:
            return extract(c.bare(lang))
        else:
            m = c.compose(lang, long=stage == "all" and r.random() < 0.15)
        return extract(m) if task == "extract" else title(m)


