"""Makes and loads the tokenizer: byte-level BPE of 8,192 tokens for Chinese and English.

One token for one Han character (all of GB2312's first level, most of its second level, and all that the banks use), bytes for the rest,
digits single, English words in pieces that are the same with and without a space before them (so that a name copied to the start of a JSON string keeps its tokens).
Merges are written down, not learnt, for Han characters, and learnt from the generator's text for English.

    python tokenizer.py OUT.json
"""

import re
import sys
from collections import Counter
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB = 8192
SPECIALS = ["<|end|>", "<|pad|>", "<|extract|>", "<|title|>", "<|choose|>", "<|options|>", "<|answer|>"]
QWEN2_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PUNCTUATION = "，。！？：；、（）“”‘’《》【】…—·～￥％"
JSON_PIECES = ['{"', '":', '":"', '",', '","', ',"', '"}', "',", ").", "...", "!!", "——", "……"]
SPACED = 220
ENGLISH_SAMPLES = 6000


def byte_names() -> list[str]:
    """The printable character that stands for each byte (the GPT-2 table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, extra = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in names:
            names[b] = chr(256 + extra)
            extra += 1
    return [names[b] for b in range(256)]


BYTES = byte_names()


def spell(text: str) -> str:
    """A text in the characters that stand for its bytes."""
    return "".join(BYTES[b] for b in text.encode())


def han() -> list[str]:
    """The characters that get a token of their own, in a fixed order."""
    from generator.bank import FOLDER
    from generator.entities import COMMON, LEVEL1, LEVEL2

    # Of the second level: what Big5 counts as frequent, and what Big5 lacks because it is a simplified form.
    frequent = {c for c in LEVEL2 if (c.encode("big5", "ignore") or b"\xa4")[0] <= 0xC6}
    used = set(COMMON) | {c for path in FOLDER.glob("*zh*.txt") for c in path.read_text("utf-8") if "一" <= c <= "龥"}
    chosen = dict.fromkeys(LEVEL1)
    chosen.update(dict.fromkeys(c for c in LEVEL2 if c in frequent or c in used))
    chosen.update(dict.fromkeys(sorted(used - set(chosen))))
    return list(chosen)


def english_words() -> list[str]:
    """Words of generated English messages and of all English banks, in several cases."""
    from generator.bank import FOLDER
    from generator.compose import Composer

    composer = Composer(11, False)
    text = "\n".join(composer.compose("en").text for _ in range(ENGLISH_SAMPLES))
    text += "\n".join(path.read_text("utf-8") for path in sorted(FOLDER.glob("*en*.txt"))) * 3
    text += ' "address" "place" "time" "people" "thing" "wish" null ' * 2000
    return re.findall(r"[A-Za-z]+", text)


def learn_english(words: list[str], size: int) -> list[tuple[str, str]]:
    """The first `size` merges that BPE learns from words."""
    trainer = Tokenizer(models.BPE())
    trainer.train_from_iterator(words, trainers.BpeTrainer(vocab_size=size + len(set("".join(words))), show_progress=False, min_frequency=2))
    import json

    merges = json.loads(trainer.to_str())["model"]["merges"]
    return [tuple(m.split(" ") if isinstance(m, str) else m) for m in merges][:size]


def build() -> Tokenizer:
    """The tokenizer, made anew; the same sources give the same bytes."""
    vocab = list(BYTES)
    known = set(vocab)
    merges: list[tuple[str, str]] = []

    def merge(a: str, b: str) -> None:
        if a + b not in known:
            merges.append((a, b))
            known.add(a + b)
            vocab.append(a + b)

    def chain(text: str) -> None:
        spelled = spell(text)
        for i in range(1, len(spelled)):
            merge(spelled[:i], spelled[i])

    for text in [*JSON_PIECES, *PUNCTUATION, *han()]:
        chain(text)
    words = english_words()
    for a, b in learn_english(words, VOCAB - len(SPECIALS) - SPACED - len(vocab)):
        merge(a, b)
    for word, _ in Counter(w for w in words if w.islower()).most_common():
        if len(vocab) >= VOCAB - len(SPECIALS):
            break
        if word in known and len(word) < 8:
            merge(BYTES[32], word)
    while len(vocab) < VOCAB - len(SPECIALS):
        vocab.append(f"<|unused{len(vocab)}|>")
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate([*vocab, *SPECIALS])}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def load(path: str) -> Tokenizer:
    """The tokenizer from its file. Specials are not registered as added tokens: text can never turn into one; use `special`."""
    return Tokenizer.from_file(path)


def special(name: str) -> int:
    """The id of a special token."""
    return VOCAB - len(SPECIALS) + SPECIALS.index(name)


def clean(text: str) -> str:
    """What the engine does to untrusted text before it is tokenised."""
    text = re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip().replace('"', "'").replace("\\", "/")
    return text if len(text) <= 1200 else text[:900] + text[-300:]


if __name__ == "__main__":
    made = build()
    Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
    made.save(sys.argv[1])
    print(f"{sys.argv[1]}: {made.get_vocab_size()} tokens, {len(han())} of them Han characters")
