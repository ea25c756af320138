"""The decoder: a small model of the qwen3 architecture, written in JAX.

It knows numbers only: no text, no tokenizer, no files. Parameters are a flat dictionary; the layers are stacked along the first axis, so that one `scan` runs them.
"""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; everything that the GGUF header says about them is derived from here."""

    vocab: int = 8192
    dim: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ff: int = 384
    rope_base: float = 1_000_000.0
    eps: float = 1e-6
    context: int = 2048
    spoken: int = 0

    @property
    def said(self) -> int:
        """How many of the first dimensions logits read; what stands in the others is thought and not said."""
        return self.spoken or self.dim


TIMES = 4  # high frequencies that a head uses to look at a fixed distance
RAISED = 250.0  # weight of the last norm in the dimensions that tell what words are about
SLOW = 0.005  # radians a token below which a frequency hardly knows positions

MATRICES = ("wq", "wk", "wv", "wo", "w1", "w2", "w3")


def init(shape: Shape, seed: int) -> dict[str, np.ndarray]:
    """Fresh parameters (float32); the same seed gives the same bytes on every machine."""
    rng = np.random.default_rng(seed)
    d, q, kv, f, n = shape.dim, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim, shape.ff, shape.layers

    def normal(*size: int, scale: float) -> np.ndarray:
        return (rng.standard_normal(size) * scale).astype(np.float32)

    return {
        "emb": normal(shape.vocab, d, scale=0.02),
        "wq": normal(n, d, q, scale=d**-0.5),
        "wk": normal(n, d, kv, scale=d**-0.5),
        "wv": normal(n, d, kv, scale=d**-0.5),
        "wo": normal(n, q, d, scale=q**-0.5 / (2 * n) ** 0.5),
        "w1": normal(n, d, f, scale=d**-0.5),
        "w3": normal(n, d, f, scale=d**-0.5),
        "w2": normal(n, f, d, scale=f**-0.5 / (2 * n) ** 0.5),
        "qn": np.ones((n, shape.head_dim), np.float32),
        "kn": np.ones((n, shape.head_dim), np.float32),
        "n1": np.ones((n, d), np.float32),
        "n2": np.ones((n, d), np.float32),
        "nf": np.ones((d,), np.float32),
    }


def wire(params: dict[str, np.ndarray], shape: Shape, seed: int) -> dict[str, np.ndarray]:
    """Starts the model with copying wired in: training then has to learn where to copy from and where to stop, not how to copy.

    The first `head_dim` dimensions of an embedding say which token it is, the next ones stay free for the token before, the last is a constant. A head of the first layer
    looks one token back and writes what it sees into the free dimensions; a head of the last layer looks for the place whose token before is this one, and copies the token
    there (an induction head); another takes this token's own name away, so that it is not said again. All of it is trained on.
    """
    h, half, last = shape.head_dim, shape.head_dim // 2, shape.layers - 1
    const, before = shape.dim - 1, slice(h, min(2 * h, shape.dim - 1))
    wide = before.stop - before.start
    if wide < h // 2 or shape.layers < 2 or shape.kv_heads < 2:
        raise ValueError("wiring needs two layers, two heads of keys and a dim of at least 1.5 times the head's")
    rng = np.random.default_rng([seed, 1])
    freq = shape.rope_base ** (-np.arange(half) / half)
    group = shape.heads // shape.kv_heads
    emb = params["emb"]
    emb[:, :h] = rng.standard_normal((shape.vocab, h))
    emb[:, h:] = 0.05 * rng.standard_normal((shape.vocab, shape.dim - h))
    emb[:, const] = 4.0
    params["nf"][:] = 0.1

    def look(layer: int, head: int, kv: int, distance: int) -> None:
        q, k = params["wq"][layer], params["wk"][layer]
        q[:, head * h : (head + 1) * h] = 0
        k[:, kv * h : (kv + 1) * h] = 0
        for f in range(TIMES):
            q[const, head * h + f], q[const, head * h + half + f] = np.cos(freq[f] * distance), -np.sin(freq[f] * distance)
            k[const, kv * h + f] = 1
            for norms in ("qn", "kn"):
                params[norms][layer, [f, half + f]] = 2.5

    def carry(layer: int, head: int, kv: int, to: slice, gain: float) -> None:
        size = to.stop - to.start
        params["wv"][layer][:, kv * h : (kv + 1) * h] = np.eye(shape.dim, h)
        params["wo"][layer][head * h : (head + 1) * h] = 0
        params["wo"][layer][head * h : head * h + size, to] = gain * np.eye(size)

    look(0, 0, 0, 1)
    carry(0, 0, 0, before, ((h + 16) / shape.dim) ** 0.5)
    slow = [f for f in range(half) if freq[f] < SLOW]
    dims = np.array(slow + [half + f for f in slow])
    match = rng.standard_normal((wide, len(dims))).astype(np.float32) * wide**-0.5
    wq, wk = params["wq"][last], params["wk"][last]
    wq[:, :h], wk[:, :h] = 0, 0
    wq[np.ix_(np.arange(wide), dims)] = match
    wk[np.ix_(np.arange(before.start, before.stop), dims)] = match
    for norms in ("qn", "kn"):
        params[norms][last, dims] = 1.4
    size = ((h + wide + 16) / shape.dim) ** 0.5
    carry(last, 0, 0, slice(0, h), 2 * size)
    look(last, group, 1, 0)
    carry(last, group, 1, slice(0, h), -size)
    return params


def grow(params: dict[str, np.ndarray], shape: Shape, dim: int, ff: int, seed: int, about: np.ndarray) -> tuple[dict[str, np.ndarray], Shape]:
    """A wider model that says nearly the same: embeddings get `about` [vocabulary, dim - shape.dim] beside what they have, which nothing reads yet, logits included.

    The last norm raises these dimensions above the others, so that the mean over a text, by which choices are made, is the mean of what its words are about.
    """
    rng = np.random.default_rng([seed, 2])
    old, wide = shape.dim, dim - shape.dim
    more = ff - shape.ff
    less = np.float32((old / dim) ** 0.5)
    out = {name: np.asarray(value) for name, value in params.items()}
    n = shape.layers
    fresh = lambda *size: (rng.standard_normal(size) * dim**-0.5).astype(np.float32)
    out["emb"] = np.concatenate([out["emb"], about], axis=1)
    for name in ("wq", "wk", "wv"):
        out[name] = np.concatenate([out[name], np.zeros((n, wide, out[name].shape[2]), np.float32)], axis=1)
    for name in ("w1", "w3"):
        rows = np.concatenate([out[name], np.zeros((n, wide, shape.ff), np.float32)], axis=1)
        out[name] = np.concatenate([rows, fresh(n, dim, more)], axis=2)
    out["wo"] = np.concatenate([out["wo"], np.zeros((n, out["wo"].shape[1], wide), np.float32)], axis=2)
    columns = np.concatenate([out["w2"], np.zeros((n, shape.ff, wide), np.float32)], axis=2)
    out["w2"] = np.concatenate([columns, np.zeros((n, more, dim), np.float32)], axis=1)
    for name in ("n1", "n2"):
        out[name] = np.concatenate([out[name] * less, np.ones((n, wide), np.float32)], axis=1)
    out["nf"] = np.concatenate([out["nf"] * less, np.full(wide, RAISED, np.float32)])
    return out, replace(shape, dim=dim, ff=ff, spoken=shape.said)


def norm(x, weight, eps):
    """Root-mean-square norm."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rope(x, positions, base):
    """Rotary embedding in NEOX layout (first half with second half); `x` is [batch, time, heads, head_dim]."""
    half = x.shape[-1] // 2
    freq = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = positions[..., None].astype(jnp.float32) * freq
    cos, sin = jnp.cos(angle)[:, :, None, :], jnp.sin(angle)[:, :, None, :]
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def qkv(p, x, positions, shape: Shape):
    """Queries, keys and values of one layer, normed for each head and rotated."""
    b, t, _ = x.shape
    q = (x @ p["wq"]).reshape(b, t, shape.heads, shape.head_dim)
    k = (x @ p["wk"]).reshape(b, t, shape.kv_heads, shape.head_dim)
    v = (x @ p["wv"]).reshape(b, t, shape.kv_heads, shape.head_dim)
    return rope(norm(q, p["qn"], shape.eps), positions, shape.rope_base), rope(norm(k, p["kn"], shape.eps), positions, shape.rope_base), v


def attend(q, k, v, mask, shape: Shape):
    """Grouped attention; `mask` is [batch or 1, 1, 1, time, source], true where a query may look."""
    b, t = q.shape[:2]
    q = q.reshape(b, t, shape.kv_heads, shape.heads // shape.kv_heads, shape.head_dim)
    score = jnp.einsum("btkgd,bskd->bkgts", q, k) * shape.head_dim**-0.5
    score = jax.nn.softmax(jnp.where(mask, score, -1e9), axis=-1)
    return jnp.einsum("bkgts,bskd->btkgd", score, v).reshape(b, t, -1)


def feed(p, x):
    """The gated feed-forward half of a layer."""
    return (jax.nn.silu(x @ p["w1"]) * (x @ p["w3"])) @ p["w2"]


def split(params):
    """The stacked layer parameters, apart from embedding and last norm."""
    return {k: v for k, v in params.items() if k not in ("emb", "nf")}


@partial(jax.jit, static_argnames="shape")
def hidden(params, ids, shape: Shape):
    """Last hidden states [batch, time, dim] of whole sequences; padding must stand on the right."""
    t = ids.shape[1]
    positions = jnp.broadcast_to(jnp.arange(t), ids.shape)
    mask = (jnp.arange(t)[:, None] >= jnp.arange(t)[None, :])[None, None, None]
    x = params["emb"][ids.ravel()]
    b = ids.shape[0]

    # Tokens of all rows stand in one axis: a CPU is slow at products that sum over two axes, as the gradients of weights would.
    def layer(x, p):
        y = norm(x, p["n1"], shape.eps)
        q = (y @ p["wq"]).reshape(b, t, shape.heads, shape.head_dim)
        k = (y @ p["wk"]).reshape(b, t, shape.kv_heads, shape.head_dim)
        v = (y @ p["wv"]).reshape(b, t, shape.kv_heads, shape.head_dim)
        q, k = rope(norm(q, p["qn"], shape.eps), positions, shape.rope_base), rope(norm(k, p["kn"], shape.eps), positions, shape.rope_base)
        x = x + attend(q, k, v, mask, shape).reshape(b * t, -1) @ p["wo"]
        return x + feed(p, norm(x, p["n2"], shape.eps))

    # Written out layer by layer: on a CPU the backward pass through a scan takes twice as long.
    for i in range(shape.layers):
        x = layer(x, {k: v[i] for k, v in split(params).items()})
    return norm(x, params["nf"], shape.eps).reshape(b, t, -1)


@partial(jax.jit, static_argnames="shape")
def vectors(params, ids, ends, shape: Shape):
    """The mean of the last hidden states up to the ends of whole sequences, of length one: what choices are compared by."""
    there = jnp.arange(ids.shape[1])[None, :] <= ends[:, None]
    h = jnp.sum(hidden(params, ids, shape) * there[..., None], axis=1) / (ends[:, None] + 1)
    return h / (jnp.linalg.norm(h, axis=-1, keepdims=True) + 1e-6)


@partial(jax.jit, static_argnames="shape", donate_argnums=2)
def step(params, ids, cache, positions, shape: Shape):
    """Reads tokens `ids` [batch, time] that stand at `positions` [batch, time], writing keys and values into `cache`; logits of every token."""
    size = cache[0].shape[2]
    mask = (jnp.arange(size)[None, None, :] <= positions[:, :, None])[:, None, None]
    x = params["emb"][ids]
    rows = jnp.arange(ids.shape[0])[:, None]

    def layer(x, inputs):
        p, ck, cv = inputs
        q, k, v = qkv(p, norm(x, p["n1"], shape.eps), positions, shape)
        ck, cv = ck.at[rows, positions].set(k), cv.at[rows, positions].set(v)
        x = x + attend(q, ck, cv, mask, shape) @ p["wo"]
        return x + feed(p, norm(x, p["n2"], shape.eps)), (ck, cv)

    x, cache = jax.lax.scan(layer, x, (split(params), *cache))
    return norm(x, params["nf"], shape.eps)[..., : shape.said] @ params["emb"][:, : shape.said].T, cache


def empty_cache(shape: Shape, batch: int, size: int):
    """Room for the keys and values of `batch` sequences of `size` tokens."""
    one = jnp.zeros((shape.layers, batch, size, shape.kv_heads, shape.head_dim), jnp.float32)
    return one, jnp.array(one)


def count(params) -> int:
    """Number of parameters."""
    return sum(int(np.prod(v.shape)) for v in params.values())
