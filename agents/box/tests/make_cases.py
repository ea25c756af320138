"""Writes `tokenizer_cases.jsonl`: 200 texts with the ids that the HF tokenizer gives them, for the engine's own test against llama.cpp."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import tokenizer as tokens  # noqa: E402
from generator.tasks import Source  # noqa: E402

BY_HAND = [
    "", " ", "  ", "a", "A", "1", "12345", "一", "，", "。。。", "...", "……", "路灯不亮", "路灯 不亮", "  two  spaces  ", "tab\there", "line\nbreak", "line\n\nbreak\n", "\r\n", "trailing ",
    "it's I've we'll DON'T I'M", "'s", "’s", "3.14", "2024-05-06 12:30", "１２３", "ＡＢＣ", "Ⅳ", "½", "①②③", "㎡", "℃", "é", "naïve café", "Straße", "Ωμέγα", "русский", "日本語テスト", "한국어", "العربية",
    "😀", "👨‍👩‍👧", "🇨🇳", "龘靐", "𠮷野家", "\u200b零宽", "\u3000全角空格", "e\u0301", "<|end|>", "<|answer|>A", "<|im_end|>", "<|unused1|>", '{"address":null,"place":"昌平路","time":null}',
    '{"address":"3号","place":"Oak St","wish":"fix it"}', '":"', '","', '"},', "null", "A 供水：停水\nB 排水：积水\nC Water Company\n", "a_b-c/d\\e", "x@y.cn", "http://a.cn/b?c=d&e=f",
    "#标签#", "【热线】", "（一）", "“引号”", "《条例》第3条", "12345热线", "A市B县C3区", "3栋2单元501室", "K12+300", "110kV", "PM2.5", "Wi-Fi", "APP", "iPhone15", "!!!???", "？！？！", "——", "～",
    "$100", "50%", "a+b=c", "1,000,000", "^_^", "orz", "ㄅㄆㄇ", "Ａ１", "x²", "a\u00a0b", "\u2028", "non‑breaking", "the The THE", " the", "Thethe", "streetlight", "HELLO WORLD", "don’t",
]


def cases() -> list[str]:
    """The hand-made texts, then generated prompts and answers."""
    out = list(dict.fromkeys(BY_HAND))
    source = Source(77, validation=True)
    while len(out) < 200:
        _, message, options, answer = source.example("all")
        out.append(message)
        if len(out) < 200:
            out.append(answer if options is None else "".join(f"{x} {o}\n" for x, o in zip("ABCDEFGH", options)))
    return out


if __name__ == "__main__":
    tok = tokens.load(str(HERE.parent / "tokenizer.json"))
    lines = [json.dumps({"text": text, "ids": tok.encode(text).ids}, ensure_ascii=False) for text in cases()]
    (HERE / "tokenizer_cases.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(lines)} cases")
