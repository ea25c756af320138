"""Turns examples into token ids, with the special tokens of the contract spliced around text that can never become one."""

from tokenizers import Tokenizer

from tokenizer import clean, special


def prompt(tok: Tokenizer, task: str, text: str) -> list[int]:
    """The ids up to and with `<|answer|>`, for a task or for an option."""
    return [special(f"<|{task}|>"), *tok.encode(clean(text)).ids, special("<|answer|>")]


def answer(tok: Tokenizer, text: str) -> list[int]:
    """The ids of the answer and the end."""
    return [*tok.encode(text).ids, special("<|end|>")]
