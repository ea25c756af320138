"""Answers of many prompts at once, in the training framework: greedy decoding, and choices. Writing knows token ids only."""

import jax.numpy as jnp
import numpy as np

import encode
from matching import padded
from model import Shape, empty_cache, step, vectors
from tokenizer import special


def room(tokens: int) -> int:
    """The length that prompts are padded to; few lengths, since each is compiled once."""
    return next((n for n in (96, 192, 384) if tokens <= n), 1408)


def greedy(params, shape: Shape, prompts: list[list[int]], most: int, batch: int = 32) -> list[list[int]]:
    """The answers (without the end token) to all prompts, of at most `most` tokens each."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        real = len(rows)
        rows += [rows[-1]] * (batch - real)
        longest = room(max(len(prompts[i]) for i in rows))
        size = longest + most
        ids = np.full((batch, longest), special("<|pad|>"), np.int32)
        for j, i in enumerate(rows):
            ids[j, : len(prompts[i])] = prompts[i]
        lengths = np.array([len(prompts[i]) for i in rows])
        # Padding on the right writes keys that later tokens overwrite before any query can see them.
        logits, cache = step(params, ids, empty_cache(shape, batch, size), np.broadcast_to(np.arange(longest), ids.shape), shape)
        token = np.asarray(jnp.argmax(logits[np.arange(batch), lengths - 1], axis=-1))
        open_rows = np.ones(batch, bool)
        for n in range(most):
            open_rows &= token != special("<|end|>")
            if not open_rows.any():
                break
            for j in np.flatnonzero(open_rows):
                if j < real:
                    answers[rows[j]].append(int(token[j]))
            logits, cache = step(params, token[:, None].astype(np.int32), cache, (lengths + n)[:, None], shape)
            token = np.asarray(jnp.argmax(logits[:, 0], axis=-1))
    return answers


def nearest(params, shape: Shape, tok, choices: list, batch: int = 32) -> list[np.ndarray]:
    """For each choice the cosines between its message and its options."""
    texts = [encode.prompt(tok, "choose", c.message) for c in choices] + [encode.prompt(tok, "options", o) for c in choices for o in c.options]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found = np.zeros((len(texts), shape.dim), np.float32)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        full = rows + [rows[-1]] * (batch - len(rows))
        ids, ends = padded([texts[i] for i in full], room(max(len(texts[i]) for i in full)))
        found[rows] = np.asarray(vectors(params, ids, ends, shape))[: len(rows)]
    at, cosines = len(choices), []
    for i, c in enumerate(choices):
        cosines.append(found[at : at + len(c.options)] @ found[i])
        at += len(c.options)
    return cosines


class Form:
    """The form of one extraction: which tokens may come next, so that the answer is of the contract's shape and each value a run of the message's tokens.

    It is the plain counterpart of the grammar that the engine makes for each message.
    """

    def __init__(self, pieces: dict[str, int], keys: list[int], message: list[int]):
        self.pieces, self.keys, self.message = pieces, keys, message
        self.slot, self.state, self.places = 0, "open", []

    def allowed(self) -> list[int]:
        """The tokens that may come next; none when the answer is complete."""
        last = self.slot == len(self.keys) - 1
        if self.state == "open":
            return [self.pieces['{"']]
        if self.state == "key":
            return [self.keys[self.slot]]
        if self.state == "colon":
            return [self.pieces['":'], self.pieces['":"']] if self.message else [self.pieces['":']]
        if self.state == "null":
            return [self.pieces["null"]]
        if self.state == "next":
            return [self.pieces["}" if last else ',"']]
        if self.state == "first":
            return sorted(set(self.message))
        if self.state == "more":
            following = {self.message[i + 1] for i in self.places if i + 1 < len(self.message)}
            return [self.pieces['"}' if last else '","'], *sorted(following)]
        return []

    def take(self, token: int) -> None:
        """Goes on by one token, which must be an allowed one."""
        if self.state == "open":
            self.state = "key"
        elif self.state == "key":
            self.state = "colon"
        elif self.state == "colon":
            self.state = "null" if token == self.pieces['":'] else "first"
        elif self.state == "null":
            self.state = "next"
        elif self.state == "first":
            self.places = [i for i, t in enumerate(self.message) if t == token]
            self.state = "more"
        elif self.state == "more" and token not in (self.pieces['","'], self.pieces['"}']):
            self.places = [i + 1 for i in self.places if i + 1 < len(self.message) and self.message[i + 1] == token]
        else:
            self.slot += 1
            self.state = "key" if self.slot < len(self.keys) else "done"


def formed(params, shape: Shape, prompts: list[list[int]], forms: list[Form], most: int, batch: int = 32) -> list[list[int]]:
    """Greedy answers under forms."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        full = rows + [rows[-1]] * (batch - len(rows))
        longest = room(max(len(prompts[i]) for i in full))
        ids = np.full((batch, longest), special("<|pad|>"), np.int32)
        for j, i in enumerate(full):
            ids[j, : len(prompts[i])] = prompts[i]
        lengths = np.array([len(prompts[i]) for i in full])
        logits, cache = step(params, ids, empty_cache(shape, batch, longest + most), np.broadcast_to(np.arange(longest), ids.shape), shape)
        scores = np.asarray(logits[np.arange(batch), lengths - 1])
        for n in range(most):
            token = np.full(batch, special("<|pad|>"), np.int32)
            for j, i in enumerate(rows):
                allowed = forms[i].allowed()
                if allowed:
                    token[j] = allowed[int(np.argmax(scores[j, allowed]))]
                    forms[i].take(int(token[j]))
                    answers[i].append(int(token[j]))
            if all(not forms[i].allowed() for i in rows):
                break
            logits, cache = step(params, token[:, None], cache, (lengths + n)[:, None], shape)
            scores = np.asarray(logits[:, 0])
    return answers
