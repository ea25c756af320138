"""Tests of generator, tokenizer and export. Run: python -m unittest discover -s tests -t ."""

import json
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402

import encode  # noqa: E402
import tokenizer as tokens  # noqa: E402
from decode import Form  # noqa: E402
from generator.bank import held_out, part, read_kinds  # noqa: E402
from generator.compose import SLOTS, Composer  # noqa: E402
from generator.tasks import LIMIT, Source  # noqa: E402
from model import Shape, grow, hidden, init, vectors, wire  # noqa: E402
from tests.make_handwritten import rows  # noqa: E402

TOK = tokens.load(str(HERE.parent / "tokenizer.json"))


class Generator(unittest.TestCase):
    def test_slots_are_substrings_and_json_is_compact(self):
        for validation in (False, True):
            source = Source(17, validation)
            for _ in range(600):
                _, message, answer = source.example("all", "extract")
                slots = json.loads(answer)
                self.assertEqual(tuple(slots), SLOTS)
                self.assertEqual(answer, json.dumps(slots, ensure_ascii=False, separators=(",", ":")))
                self.assertNotIn('"', message)
                self.assertEqual(message, tokens.clean(message))
                for words in slots.values():
                    self.assertTrue(words is None or (words and words in message), (words, message))

    def test_titles_keep_to_their_length(self):
        source = Source(18)
        for _ in range(600):
            _, message, answer = source.example("all", "title")
            if any("一" <= c <= "龥" for c in answer):
                self.assertLessEqual(len(answer), 24)
            else:
                self.assertLessEqual(len(answer.split()), 12)
            self.assertTrue(answer)

    def test_choices_have_two_to_eight_different_short_options(self):
        source, seen, none = Source(19), set(), 0
        for _ in range(600):
            c = source.choice()
            self.assertTrue(2 <= len(c.options) <= 8 and len(set(c.options)) == len(c.options) == len(c.kinds))
            self.assertTrue(all(0 < len(o) <= LIMIT for o in c.options))
            none += c.kinds[c.right] == "other"
            self.assertIn(c.kinds[c.right], (c.kind, "other"))
            self.assertEqual(c.kinds.count(c.kinds[c.right]), 1)
            if c.kinds[c.right] == "other":
                self.assertNotIn(c.kind, c.kinds)
            seen.add(c.right)
        self.assertEqual(seen, set(range(8)))
        self.assertGreater(none, 20)

    def test_the_same_seed_gives_the_same_stream(self):
        a, b, c = Source(5), Source(5), Source(6)
        some = lambda source: [source.example() if i % 2 else source.choice() for i in range(200)]
        first = some(a)
        self.assertEqual(first, some(b))
        self.assertNotEqual(first, some(c))

    def test_held_out_phrases_and_places_never_meet_training(self):
        for lang in ("zh", "en"):
            for kind in read_kinds(lang).values():
                for items in (kind.s, kind.w, kind.k, kind.c):
                    if held_out(items):
                        self.assertFalse(set(part(items, True)) & set(part(items, False)))
        train, validation = Composer(1, False).make, Composer(1, True).make
        self.assertFalse({train.stem() for _ in range(20000)} & {validation.stem() for _ in range(20000)})
        self.assertFalse({train.word() for _ in range(20000)} & {validation.word() for _ in range(20000)})

    def test_languages_have_the_same_problem_types(self):
        self.assertEqual(list(read_kinds("zh")), list(read_kinds("en")))


class Tokens(unittest.TestCase):
    def test_text_comes_back_and_never_becomes_special(self):
        for text in ["昌平路113号", "<|end|><|answer|>A", "naïve café 龘", "a\u3000b", "😀", "A 供水\nB 排水\n"]:
            ids = TOK.encode(text).ids
            self.assertEqual(TOK.decode(ids), text)
            self.assertTrue(all(i < tokens.VOCAB - len(tokens.SPECIALS) for i in ids))

    def test_a_frequent_character_is_one_token(self):
        for text in "市民路灯自来水淞沪浦泾岳麓":
            self.assertEqual(len(TOK.encode(text).ids), 1, text)

    def test_a_name_has_the_same_tokens_in_message_and_answer(self):
        name = "Kelwick Terrace"
        alone = TOK.encode(f'":"{name}",').ids
        inside = TOK.encode(f"near {name}.").ids
        body = TOK.encode(name).ids
        self.assertTrue(any(alone[i : i + len(body)] == body for i in range(len(alone))))
        self.assertTrue(any(inside[i : i + len(body)] == body for i in range(len(inside))))

    def test_recorded_cases(self):
        for line in (HERE / "tokenizer_cases.jsonl").read_text("utf-8").split("\n")[:-1]:
            case = json.loads(line)
            self.assertEqual(TOK.encode(case["text"]).ids, case["ids"])


class Forms(unittest.TestCase):
    def test_whatever_is_chosen_the_answer_is_of_the_contracts_form(self):
        one = lambda text: TOK.encode(text).ids[0]
        pieces = {p: one(p) for p in ('{"', '":', '":"', "null", ',"', '","', "}", '"}')}
        self.assertEqual([len(TOK.encode(p).ids) for p in pieces], [1] * len(pieces))
        self.assertEqual([len(TOK.encode(k).ids) for k in SLOTS], [1] * len(SLOTS))
        rng = np.random.default_rng(3)
        for text in ["文化路12号的路灯不亮，请来修", "no light on Mill Lane", "a", ""] * 50:
            form, ids = Form(pieces, [one(k) for k in SLOTS], TOK.encode(text).ids), []
            while form.allowed():
                ids.append(int(rng.choice(form.allowed())))
                form.take(ids[-1])
            answer = json.loads(TOK.decode(ids))
            self.assertEqual(tuple(answer), SLOTS)
            for words in answer.values():
                self.assertTrue(words is None or words in text)


class Wiring(unittest.TestCase):
    def test_an_untrained_model_continues_what_it_copies(self):
        # One shape for all examples, so that the model is compiled once.
        shape = Shape()
        params = wire(init(shape, 7), shape, 7)
        source, right, count = Source(1), 0, 0
        ids, spans = np.full((24, 160), tokens.special("<|pad|>"), np.int32), []
        for row in range(len(ids)):
            while True:
                task, message, answer = source.example("copy", "extract")
                a, b = encode.prompt(TOK, task, message), encode.answer(TOK, answer)
                if len(a) + len(b) <= 160:
                    break
            ids[row, : len(a) + len(b)] = a + b
            spans.append((len(a), len(a) + len(b)))
        said = np.asarray(hidden(params, ids, shape) @ params["emb"].T).argmax(-1)
        han = lambda i: "一" <= TOK.decode([int(i)])[:1] <= "龥"
        for row, (start, end) in enumerate(spans):
            for at in range(start, end - 1):
                if han(ids[row, at]) and han(ids[row, at + 1]):
                    count += 1
                    right += said[row, at] == ids[row, at + 1]
        self.assertGreater(count, 100)
        self.assertGreater(right / count, 0.9)


class Growing(unittest.TestCase):
    def test_a_wider_model_says_the_same_and_chooses_by_what_words_are_about(self):
        shape = Shape(dim=96, layers=2, ff=64, head_dim=32)
        params = wire(init(shape, 7), shape, 7)
        about = np.random.default_rng(1).standard_normal((shape.vocab, 32)).astype(np.float32) * 0.01
        wide, larger = grow(params, shape, 128, 128, 7, about)
        ids = np.random.default_rng(2).integers(0, 8000, (2, 24)).astype(np.int32)
        before = np.asarray(hidden(params, ids, shape)) @ params["emb"].T
        after = np.asarray(hidden(wide, ids, larger))[..., : larger.said] @ wide["emb"][:, : larger.said].T
        self.assertLess(np.abs(before - after).max(), 0.01 * np.abs(before).max())
        self.assertEqual(larger.said, 96)
        found = np.asarray(vectors(wide, ids, np.array([23, 23]), larger))
        bags = about[ids].sum(1)
        cosine = (found[:, 96:] * bags).sum(1) / np.linalg.norm(bags, axis=1)
        self.assertGreater(cosine.min(), 0.8)


class Handwritten(unittest.TestCase):
    def test_file_is_what_the_script_writes(self):
        lines = (HERE / "handwritten.jsonl").read_text("utf-8").splitlines()
        self.assertEqual([json.loads(x) for x in lines], rows())


if __name__ == "__main__":
    unittest.main()
