"""What words are about: vectors whose sums bring messages and the options that are right for them together."""

import jax
import jax.numpy as jnp
import numpy as np

import encode
import tokenizer as tokens
from generator.tasks import Source

BLOCK = 1024
MATCH_LENGTHS, OPTION_LENGTH, OPTIONS = (64, 128, 256), 32, 64
SHARPNESS = 20.0  # of the training's softmax over cosines; what a choice is worth as a probability, `evaluate.py` measures
SMOOTHING = 0.05
DROPPED = 0.15  # of the words of a message, while learning what words are about


class Matches:
    """Batches of choices out of generated blocks. Block `n` depends on seed and `n` alone."""

    def __init__(self, tok, seed: int, size: int, block: int):
        self.tok, self.seed, self.size, self.block = tok, seed, size, block
        self.queue: list = []

    def next(self):
        """Messages [rows, length] with their ends, options [OPTIONS, OPTION_LENGTH] with theirs, which option may be compared with which message, and the right ones."""
        while not self.queue:
            self.fill()
        return self.queue.pop()

    def fill(self) -> None:
        """Makes one block and cuts it into batches."""
        source = Source(self.seed * 1_000_003 + self.block + 500_000)
        rng = np.random.default_rng([self.seed, self.block, 1])
        self.block += 1
        shelves: dict[int, list] = {n: [] for n in MATCH_LENGTHS}
        for _ in range(BLOCK):
            choice = source.choice()
            ids = encode.prompt(self.tok, "choose", choice.message)
            fit = next((n for n in MATCH_LENGTHS if len(ids) <= n), None)
            if fit:
                shelves[fit].append((ids, choice))
        for length, shelf in shelves.items():
            rows = max(1, self.size // length)
            while len(shelf) % rows and shelf:
                shelf.append(shelf[int(rng.integers(len(shelf)))])
            order = rng.permutation(len(shelf))
            for start in range(0, len(shelf), rows):
                self.queue.append(self.pack([shelf[i] for i in order[start : start + rows]], length))
        self.queue = [self.queue[i] for i in rng.permutation(len(self.queue))]

    def pack(self, rows: list, length: int):
        """One batch."""
        each = OPTIONS // len(rows)
        ids, ends = padded([a for a, _ in rows], length)
        texts, kinds, right = [], [], []
        for _, choice in rows:
            right.append(len(texts))
            chosen = [choice.right, *(i for i in range(len(choice.options)) if i != choice.right)][:each]
            texts += [encode.prompt(self.tok, "options", choice.options[i]) for i in chosen]
            kinds += [(choice.space, choice.kinds[i]) for i in chosen]
        options, option_ends = padded(texts, OPTION_LENGTH, OPTIONS)
        may = np.zeros((len(rows), OPTIONS), bool)
        for i, (_, choice) in enumerate(rows):
            same = {choice.kind, choice.kinds[choice.right]}
            for j, (space, kind) in enumerate(kinds):
                may[i, j] = j == right[i] or (space == choice.space and kind not in same)
        return ids, ends, options, option_ends, may, np.array(right, np.int32)


def padded(rows: list[list[int]], length: int, count: int = 0):
    """Rows of one length, and where each ends; what is too long loses what stands before its end."""
    ids = np.full((max(count, len(rows)), length), tokens.special("<|pad|>"), np.int32)
    ends = np.zeros(len(ids), np.int32)
    for i, row in enumerate(rows):
        row = row if len(row) <= length else [*row[: length - 1], row[-1]]
        ids[i, : len(row)], ends[i] = row, len(row) - 1
    return ids, ends


def sums(emb, ids, ends):
    """Sums of the vectors of whole sequences' tokens, of length one."""
    there = (jnp.arange(ids.shape[1])[None, :] <= ends[:, None])[..., None]
    v = jnp.sum(emb[ids] * there, axis=1)
    return v / (jnp.linalg.norm(v, axis=-1, keepdims=True) + 1e-6)


def match_loss(params, ids, ends, options, option_ends, may, right):
    """Mean cross-entropy of the right options (InfoNCE; van den Oord et al. 2018), and how many are the nearest."""
    emb = params["emb"] * jnp.exp(params["weight"])
    score = SHARPNESS * sums(emb, ids, ends) @ sums(emb, options, option_ends).T
    logs = jax.nn.log_softmax(jnp.where(may, score, -1e9), axis=-1)
    hit = jnp.take_along_axis(logs, right[:, None], axis=1)[:, 0]
    all_of = jnp.sum(jnp.where(may, logs, 0.0), axis=-1) / jnp.sum(may, axis=-1)
    loss = -jnp.mean((1 - SMOOTHING) * hit + SMOOTHING * all_of)
    return loss, jnp.mean(jnp.argmax(logs, axis=-1) == right)


def bag(tok, seed: int, width: int, steps: int) -> np.ndarray:
    """What each token is about [vocabulary, width], of mean square 1/16: vectors whose sums bring messages and their options together.

    Learnt in minutes, where the whole model would need hours to find out that words have subjects.
    """
    rng = np.random.default_rng([seed, 3])
    params = {"emb": jnp.array(rng.standard_normal((tokens.VOCAB, width)) * 0.05, jnp.float32), "weight": jnp.zeros((tokens.VOCAB, 1))}
    state = {name: (jnp.zeros_like(value), jnp.zeros_like(value)) for name, value in params.items()}

    @jax.jit
    def move(params, state, batch, t, rate):
        (_, right), grads = jax.value_and_grad(match_loss, has_aux=True)(params, *batch)
        new, kept = {}, {}
        for name, p in params.items():
            m, v = 0.9 * state[name][0] + 0.1 * grads[name], 0.98 * state[name][1] + 0.02 * grads[name] ** 2
            new[name] = p - rate * (5 if name == "emb" else 1) * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.98**t)) + 1e-9)
            kept[name] = (m, v)
        return new, kept, right

    batches, hits = Matches(tok, seed, 2048, 900_000), []
    for step in range(steps):
        ids, *rest = batches.next()
        ids = np.where(rng.random(ids.shape) < DROPPED, tokens.special("<|pad|>"), ids)
        rate = 0.002 * min(1.0, (step + 1) / 40) * (0.03 + 0.97 * 0.5 * (1 + np.cos(np.pi * step / steps)))
        params, state, right = move(params, state, (ids, *rest), step + 1.0, rate)
        hits.append(float(right))
        if step % 500 == 499:
            print(f"what words are about: step {step + 1} right {np.mean(hits[-500:]):.3f}", flush=True)
    found = np.asarray(params["emb"] * jnp.exp(params["weight"]))
    return (found * (0.0625 / np.mean(found**2)) ** 0.5).astype(np.float32)
