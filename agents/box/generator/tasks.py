"""Turns messages into examples of the three tasks, in the words of the contract between model, prompts and engine.

An example of extraction or of a title is (task, message, answer), one of choice a `Choice`. Options are drawn from several ways of naming the same things, in
random numbers and order, so that the model has to read them.
"""

import json
from dataclasses import dataclass
from random import Random

from .bank import Kind
from .compose import SLOTS, Composer, Message, squeeze

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
OTHER = {
    "zh": ["其他", "其他问题", "其他事项", "其他：不属于以上各类", "以上都不是", "综合其他", "其他类", "未列入的事项"],
    "en": ["other", "other matters", "none of these", "something else", "Other: anything that is none of these", "miscellaneous", "general"],
}
# How people speak of what they name by a word or two.
SOUP = {
    "zh": ["{a}，{b}", "{a}{b}", "我家{a}，{b}", "{a}怎么回事，{b}，{c}", "反映{a}的问题", "{a}没人管", "关于{a}和{b}", "{a}、{b}、{c}，天天这样", "又是{a}！", "请问{a}归谁管", "想咨询{a}的事，{b}", "建议改进{a}，还有{b}", "谢谢你们，{a}的事解决了", "{a}什么时候能弄好", "说是{a}，其实是{b}", "{a}"],
    "en": ["{a}, {b}", "{a} {b}", "my {a}, {b}", "what about the {a}? {b}, {c}", "problem with {a}", "nobody cares about {a}", "about {a} and {b}", "{a}, {b}, {c}, every day", "{a} again!", "who deals with {a}?", "question on {a}, {b}", "I suggest better {a} and {b}", "thank you for the {a}", "when will the {a} be done", "they say {a} but it is {b}", "{a}"],
}
# Of these a message speaks beside its subject.
MOODS = ("praise", "ask", "advise")


def extract(m: Message) -> tuple[str, str, str]:
    """All slots as compact JSON."""
    return "extract", m.text, json.dumps({k: m.slots[k] for k in SLOTS}, ensure_ascii=False, separators=(",", ":"))


def title(m: Message) -> tuple[str, str, str]:
    """A title."""
    return "title", m.text, m.title


@dataclass
class Choice:
    """A message with options, of which one is right; two texts of one space are of the same matter where their kinds are equal."""

    message: str
    options: list[str]
    kinds: list[str]
    right: int
    kind: str
    space: str


class Chooser:
    """Makes choices: of a category or a body, by what a message is about, or of what it wants."""

    def __init__(self, composer: Composer):
        self.c, self.rng = composer, composer.rng

    def example(self, lang: str) -> Choice:
        """One choice of a random sort."""
        while True:
            made = self.rng.choices((self.category, self.unit, self.nature), (50, 38, 12))[0](lang)
            if made:
                return made

    def finish(self, message: str, kind: str, right: tuple[str, str], wrong: list[tuple[str, str]], space: str) -> Choice | None:
        """Shuffles the options; none if fewer than two are left of them."""
        texts: dict[str, str] = {}
        for text, of in [right, *wrong]:
            texts.setdefault(squeeze(text)[:LIMIT].strip(), of)
        chosen = list(texts.items())[:8]
        if len(chosen) < 2:
            return None
        self.rng.shuffle(chosen)
        kinds = [of for _, of in chosen]
        return Choice(message, [text for text, _ in chosen], kinds, kinds.index(right[1]), kind, space)

    def subject(self, lang: str) -> tuple[str, str]:
        """A message and the type of what it is about."""
        r, kinds = self.rng, self.c.kinds[lang]
        kind = r.choice([k for k in kinds if k not in MOODS])
        way, about = r.random(), kinds[kind]
        if way < 0.42:
            return self.c.compose(lang, kind, long=r.random() < 0.15).text, kind
        clause = lambda: self.c.pick(about.c)
        if way < 0.64:
            return self.c.compose(lang, kind, said=clause()).text, kind
        if way < 0.78:
            mark = r.choice(("，", "。", " ")) if lang == "zh" else r.choice((", ", ". ", " - "))
            return squeeze(mark.join(clause() for _ in range(r.randint(1, 2)))), kind
        soup = r.choice(SOUP[lang]).format(**{field: self.c.pick(about.k) for field in "abc"})
        return squeeze(soup if way < 0.93 else self.c.compose(lang, kind, said=soup).text), kind

    def others(self, lang: str, kind: str) -> list[str]:
        """Ids of one to seven other types, near ones more often."""
        r = self.rng
        kinds = self.c.kinds[lang]
        ids = [k for k in kinds if k != kind and k not in MOODS]
        near = [k for k in ids if kinds[k].group == kinds[kind].group]
        return list(dict.fromkeys(r.choice(near) if near and r.random() < 0.25 else r.choice(ids) for _ in range(r.randint(1, 7))))

    def options_lang(self, lang: str) -> str:
        """The language of the options, seldom the other one."""
        return lang if self.rng.random() < 0.85 else ("en" if lang == "zh" else "zh")

    def words_of(self, kind: Kind, lang: str) -> str:
        """A few words that explain a type."""
        if self.rng.random() < 0.4:
            return self.rng.choice(kind.exp)
        return ("、" if lang == "zh" else ", ").join(self.c.pick(kind.k) for _ in range(self.rng.randint(2, 5)))

    def category(self, lang: str) -> Choice | None:
        """Which category? A seventh of the time it is none of them."""
        r = self.rng
        message, kind = self.subject(lang)
        lang = self.options_lang(lang)
        kinds = self.c.kinds[lang]
        style = r.choice(("name", "both", "both", "both", "words", "group"))

        def words(id: str) -> tuple[str, str]:
            k = kinds[id]
            name = r.choice(k.cat if r.random() < 0.6 else k.n)
            if style == "name":
                return name, id
            if style == "words":
                return self.words_of(k, lang), id
            if style == "group":
                return f"{k.group}{'：' if lang == 'zh' else ': '}{name}", id
            form = r.choice(("{}：{}", "{}: {}", "{}（{}）", "{}-{}", "{} {}") if lang == "zh" else ("{}: {}", "{}: {}", "{} ({})", "{} - {}"))
            return form.format(name, self.words_of(k, lang)), id

        other = (r.choice(OTHER[lang]), "other")
        wrong = [words(k) for k in self.others(lang, kind)]
        way = r.random()
        if way < 0.15:
            return self.finish(message, kind, other, wrong, "subject")
        return self.finish(message, kind, words(kind), wrong[:6] + [other] if way < 0.4 else wrong, "subject")

    def unit(self, lang: str) -> Choice | None:
        """Which body deals with it?"""
        r = self.rng
        message, kind = self.subject(lang)
        lang = self.options_lang(lang)
        kinds = self.c.kinds[lang]
        style = r.random()

        def words(id: str) -> tuple[str, str]:
            k = kinds[id]
            unit, duty = r.choice(k.unit if r.random() < 0.6 else k.n), r.choice((r.choice(k.duty), r.choice(k.cat), self.words_of(k, lang)))
            if lang == "zh":
                unit = (self.c.make.stem() + r.choice(("区", "市", "县", "街道")) if r.random() < 0.3 else r.choice(("", "", "市", "区"))) + unit
                return (unit if style < 0.15 else r.choice(("{}：{}", "{}: {}", "{}（{}）", "{}，{}", "{} {}")).format(unit, duty)), id
            return (unit if style < 0.15 else r.choice(("{}: {}", "{} ({})", "{}, {}")).format(unit, duty)), id

        return self.finish(message, kind, words(kind), [words(k) for k in self.others(lang, kind)], "subject")

    def nature(self, lang: str) -> Choice | None:
        """Complaint, question, praise, suggestion or nothing?"""
        r = self.rng
        truth = r.choice(list(NATURE[lang]))
        if truth == "none":
            message = self.c.irrelevant(lang).text
        elif truth == "report":
            message = self.c.compose(lang, r.choice([k for k in self.c.kinds[lang] if k not in MOODS])).text
        else:
            message = self.c.compose(lang, truth).text if r.random() < 0.6 else self.c.compose(lang, truth, said=self.c.pick(self.c.kinds[lang][truth].c)).text
        lang = self.options_lang(lang)
        rest = [k for k in NATURE[lang] if k != truth]
        r.shuffle(rest)
        return self.finish(message, truth, (r.choice(NATURE[lang][truth]), truth), [(r.choice(NATURE[lang][k]), k) for k in rest[: r.randint(1, 4)]], "nature")


class Source:
    """Endless streams of examples from one seed."""

    def __init__(self, seed: int, validation: bool = False):
        self.composer = Composer(seed, validation)
        self.rng: Random = self.composer.rng
        self.chooser = Chooser(self.composer)

    def choice(self) -> Choice:
        """One choice."""
        return self.chooser.example(self.lang())

    def lang(self) -> str:
        """The language of an example."""
        return "zh" if self.rng.random() < 0.7 else "en"

    def example(self, stage: str = "all", task: str | None = None) -> tuple[str, str, str]:
        """One example of writing. Stages: "copy" (short and dull, to learn copying), "short", "all"."""
        r, c, lang = self.rng, self.composer, self.lang()
        if stage == "copy" and r.random() < 0.75:
            return extract(c.bare(lang))
        task = task or r.choices(("extract", "title"), (75, 25) if stage == "all" else (85, 15))[0]
        if r.random() < 0.02:
            m = c.irrelevant(lang)
        elif task == "extract" and r.random() < 0.04:
            return extract(c.bare(lang))
        else:
            m = c.compose(lang, long=stage == "all" and r.random() < 0.15)
        return extract(m) if task == "extract" else title(m)
