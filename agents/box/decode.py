"""Greedy decoding of many prompts at once, in the training framework. It knows token ids only."""

import jax.numpy as jnp
import numpy as np

from model import Shape, empty_cache, step
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


def letters(params, shape: Shape, prompts: list[list[int]], candidates: list[list[int]], batch: int = 32) -> list[int]:
    """For each prompt the index of the likeliest among its candidate tokens."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    chosen = [0] * len(prompts)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        full = rows + [rows[-1]] * (batch - len(rows))
        longest = room(max(len(prompts[i]) for i in full))
        ids = np.full((batch, longest), special("<|pad|>"), np.int32)
        for j, i in enumerate(full):
            ids[j, : len(prompts[i])] = prompts[i]
        logits, _ = step(params, ids, empty_cache(shape, batch, longest), np.broadcast_to(np.arange(longest), ids.shape), shape)
        for j, i in enumerate(rows):
            scores = np.asarray(logits[j, len(prompts[i]) - 1])
            chosen[i] = int(np.argmax(scores[candidates[i]]))
    return chosen
