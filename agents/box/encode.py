"""Turns examples into token ids, with the special tokens of the contract spliced around text that can never become one."""

from tokenizers import Tokenizer

from tokenizer import clean, special

LETTERS = "ABCDEFGH"


def prompt(tok: Tokenizer, task: str, message: str, options: list[str] | None = None) -> list[int]:
    """The ids up to and with `<|answer|>`."""
    ids = [special(f"<|{task}|>"), *tok.encode(clean(message)).ids]
    if options is not None:
        lines = "".join(f"{letter} {clean(text)}\n" for letter, text in zip(LETTERS, options))
        ids += [special("<|options|>"), *tok.encode(lines).ids]
    return [*ids, special("<|answer|>")]


def answer(tok: Tokenizer, text: str) -> list[int]:
    """The ids of the answer and the end."""
    return [*tok.encode(text).ids, special("<|end|>")]
