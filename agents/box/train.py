"""Trains the model on the generator's stream and writes checkpoints.

    python train.py --out DIR --steps 4000            # the same seed, sources and thread count give the same bytes
    python train.py --out DIR --until 14:40           # as many steps as fit before that time of day (not repeatable: the schedule follows the clock)
    python train.py --out DIR --resume --until 14:40  # goes on from DIR/last.npz
    python train.py --out DIR --start last.npz --grow 256,512   # learns what words are about, and widens a model that was trained by it

Matrices of the layers are trained with Muon (momentum made orthogonal), all else with AdamW. The loss is taken on answers, with a small weight on some tokens
of the message. Examples come from the generator as they are needed, in blocks; each block is sorted into lengths, so that little is padding.
"""

import argparse
import os
import time
from datetime import datetime
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", required=True)
parser.add_argument("--tokenizer", default=str(Path(__file__).parent / "tokenizer.json"))
parser.add_argument("--steps", type=int, default=0)
parser.add_argument("--until", default="", help="HH:MM")
parser.add_argument("--resume", action="store_true")
parser.add_argument("--start", default="", help="the checkpoint that --grow widens")
parser.add_argument("--grow", default="", help="DIM,FF: the sizes after that")
parser.add_argument("--bag-steps", type=int, default=10_000, help="steps of learning what words are about")
parser.add_argument("--seed", type=int, default=7)
parser.add_argument("--batch-tokens", type=int, default=1024)
parser.add_argument("--copy-share", type=float, default=0.12, help="share of the training spent on practice in copying")
parser.add_argument("--short-share", type=float, default=0.3, help="share spent on mostly extraction, after that")
parser.add_argument("--muon-rate", type=float, default=0.02)
parser.add_argument("--adam-rate", type=float, default=0.002, help="of norms; embeddings, which are larger, take five times as much")
parser.add_argument("--message-weight", type=float, default=0.05)
parser.add_argument("--candidates", type=int, default=1024, help="tokens that the softmax of training runs over; must be able to hold all different tokens of a batch")
parser.add_argument("--layers", type=int, default=4)
parser.add_argument("--dim", type=int, default=128)
parser.add_argument("--ff", type=int, default=384)
parser.add_argument("--heads", type=int, default=4)
parser.add_argument("--kv-heads", type=int, default=2)
parser.add_argument("--head-dim", type=int, default=64)
parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
args = parser.parse_args() if __name__ == "__main__" else None
if args and args.device == "cpu":
    os.environ["JAX_PLATFORMS"] = "cpu"
    if os.environ.get("OMP_NUM_THREADS") == "1":
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import encode  # noqa: E402
import tokenizer as tokens  # noqa: E402
from generator.tasks import Source  # noqa: E402
from matching import bag  # noqa: E402
from model import MATRICES, Shape, count, grow, hidden, init, wire  # noqa: E402

LENGTHS = (80, 128, 208)
BLOCK = 1024
SCORED = 0.48


def stage_of(done: float, copy: float, short: float) -> str:
    """What is practised when a share `done` of the training is over."""
    return "copy" if done < copy else "short" if done < copy + short else "all"


def rate_of(step: int, done: float) -> float:
    """Share of the full learning rate: warm-up, then a cosine down to 3 %."""
    return min(1.0, (step + 1) / 40) * (0.03 + 0.97 * 0.5 * (1 + np.cos(np.pi * min(1.0, max(0.0, (done - 0.25) / 0.75)))))


class Batches:
    """Batches out of generated blocks. Block `n` depends on seed, stage and `n` alone."""

    def __init__(self, tok, seed: int, size: int, block: int):
        self.tok, self.seed, self.size, self.block = tok, seed, size, block
        self.queue: list = []

    def next(self, stage: str):
        """ids [rows, length], positions to score, their targets and weights."""
        while not self.queue:
            self.fill(stage)
        return self.queue.pop()

    def fill(self, stage: str) -> None:
        """Makes one block and cuts it into batches."""
        source = Source(self.seed * 1_000_003 + self.block)
        rng = np.random.default_rng([self.seed, self.block])
        self.block += 1
        shelves: dict[int, list] = {n: [] for n in LENGTHS}
        for _ in range(BLOCK):
            task, message, answer = source.example(stage)
            a = encode.prompt(self.tok, task, message)
            b = encode.answer(self.tok, answer)
            fit = next((n for n in LENGTHS if len(a) + len(b) <= n), None)
            if fit:
                shelves[fit].append((a, b))
        for length, shelf in shelves.items():
            rows = max(1, self.size // length)
            # Leftovers of a shelf are topped up with others of the same block, so that no example is lost.
            while len(shelf) % rows and shelf:
                shelf.append(shelf[int(rng.integers(len(shelf)))])
            order = rng.permutation(len(shelf))
            for start in range(0, len(shelf), rows):
                self.queue.append(self.pack([shelf[i] for i in order[start : start + rows]], length, rng))
        self.queue = [self.queue[i] for i in rng.permutation(len(self.queue))]

    def pack(self, rows: list, length: int, rng):
        """One batch; all answer tokens and, in what room is left, tokens of messages."""
        ids = np.full((len(rows), length), tokens.special("<|pad|>"), np.int32)
        weight = np.zeros((len(rows), length), np.float32)
        for i, (a, b) in enumerate(rows):
            ids[i, : len(a) + len(b)] = a + b
            weight[i, : len(a) - 1] = args.message_weight
            weight[i, len(a) - 1 : len(a) + len(b) - 1] = 1.0
        flat = weight.ravel()
        room = int(flat.size * SCORED)
        chosen = np.lexsort((rng.random(flat.size), flat < 1))[:room]
        targets = np.roll(ids, -1, axis=1).ravel()[chosen]
        # The softmax runs over all tokens of the batch and a sample of the others; the sample's logits are raised by the log of how many each stands for.
        present = np.unique(ids)
        absent = rng.permutation(np.setdiff1d(np.arange(tokens.VOCAB), present, assume_unique=True))
        sample = absent[: max(0, args.candidates - present.size)]
        candidates = np.concatenate([present, sample])[: args.candidates]
        raised = np.zeros(args.candidates, np.float32)
        raised[present.size :] = np.log(absent.size / max(1, sample.size))
        where = np.searchsorted(present, targets)
        return ids, chosen.astype(np.int32), where.astype(np.int32), flat[chosen], candidates.astype(np.int32), raised


def loss_of(params, ids, chosen, targets, weights, candidates, raised, shape):
    """Mean cross-entropy of the scored tokens, and how many answer tokens the greedy choice gets right."""
    h = hidden(params, ids, shape).reshape(-1, shape.dim)[chosen, : shape.said]
    logits = h @ params["emb"][candidates, : shape.said].T + raised
    loss = jax.nn.logsumexp(logits, axis=-1) - jnp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
    answers = weights >= 1
    right = jnp.sum(answers * (jnp.argmax(logits, axis=-1) == targets)) / jnp.maximum(1, jnp.sum(answers))
    return jnp.sum(loss * weights) / jnp.sum(weights), (right, jnp.sum(loss * answers) / jnp.maximum(1, jnp.sum(answers)))


def orthogonal(g, rounds: int = 5):
    """The nearest half-orthogonal matrices of a stack, by Newton-Schulz iteration (Muon's coefficients)."""
    tall = g.shape[-2] > g.shape[-1]
    x = jnp.swapaxes(g, -1, -2) if tall else g
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(rounds):
        a = x @ jnp.swapaxes(x, -1, -2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return jnp.swapaxes(x, -1, -2) if tall else x


def update(params, state, batch, step, muon_rate, adam_rate, shape):
    """One step of training."""
    (loss, (right, answer_loss)), grads = jax.value_and_grad(loss_of, has_aux=True)(params, *batch, shape)
    total = jnp.sqrt(sum(jnp.sum(g * g) for g in grads.values()))
    clip = jnp.minimum(1.0, 1.0 / (total + 1e-6))
    new, kept = {}, {}
    t = step + 1.0
    for name, p in params.items():
        g, s = grads[name] * clip, state[name]
        if name in MATRICES:
            m = 0.95 * s[0] + g
            turn = orthogonal(g + 0.95 * m)
            new[name] = p * (1 - muon_rate * 0.02) - muon_rate * max(1.0, p.shape[-1] / p.shape[-2]) ** 0.5 * turn
            kept[name] = (m,)
        else:
            m, v = 0.9 * s[0] + 0.1 * g, 0.98 * s[1] + 0.02 * g * g
            turn = (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.98**t)) + 1e-9)
            new[name] = p - adam_rate * (5 if name == "emb" else 1) * turn
            kept[name] = (m, v)
    return new, kept, loss, right, answer_loss


def fresh(params):
    """Optimiser state of zeros."""
    return {k: (jnp.zeros_like(v),) if k in MATRICES else (jnp.zeros_like(v), jnp.zeros_like(v)) for k, v in params.items()}


def save(path: Path, params, state, shape: Shape, step: int, block: int, spent: float) -> None:
    """Writes a checkpoint; it replaces the old one in one move."""
    data = {f"p.{k}": np.asarray(v) for k, v in params.items()}
    data.update({f"s{i}.{k}": np.asarray(x) for k, v in state.items() for i, x in enumerate(v)})
    part = path.with_name("part.npz")
    np.savez(part, step=step, block=block, spent=spent, shape=np.array(list(shape.__dict__.items()), dtype=object).astype(str), **data)
    os.replace(part, path)


def load(path: Path):
    """Parameters, optimiser state, shape, step, block and seconds spent of a checkpoint."""
    data = np.load(path)
    shape = Shape(**{k: float(v) if k in ("rope_base", "eps") else int(v) for k, v in data["shape"]})
    params = {k[2:]: jnp.array(data[k]) for k in data.files if k.startswith("p.")}
    state = {k: tuple(jnp.array(data[f"s{i}.{k}"]) for i in range(2) if f"s{i}.{k}" in data.files) for k in params}
    return params, state, shape, int(data["step"]), int(data["block"]), float(data["spent"])


def main() -> None:
    """Trains until the steps or the time are used up."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(out.parent / "compiled"))
    tok = tokens.load(args.tokenizer)
    last = out / "last.npz"
    if args.grow:
        params, _, shape, step, block, spent = load(Path(args.start))
        dim, ff = map(int, args.grow.split(","))
        wide, shape = grow(params, shape, dim, ff, args.seed, bag(tok, args.seed, dim - shape.dim, args.bag_steps))
        params = {name: jnp.array(value) for name, value in wide.items()}
        save(last, params, fresh(params), shape, step, block, spent)
        return print(f"{count(params):,} parameters, {shape}", flush=True)
    if args.resume:
        params, state, shape, step, block, spent = load(last)
    else:
        shape = Shape(dim=args.dim, layers=args.layers, ff=args.ff, heads=args.heads, kv_heads=args.kv_heads, head_dim=args.head_dim)
        params = {k: jnp.array(v) for k, v in wire(init(shape, args.seed), shape, args.seed).items()}
        state, step, block, spent = fresh(params), 0, 0, 0.0
    print(f"{count(params):,} parameters, {shape}", flush=True)
    end = None
    if args.until:
        now = datetime.now()
        hour, minute = map(int, args.until.split(":"))
        end = time.time() + (now.replace(hour=hour, minute=minute, second=0) - now).total_seconds()
    batches = Batches(tok, args.seed, args.batch_tokens, block)
    move = jax.jit(update, static_argnames="shape", donate_argnums=(0, 1))
    begin = saved = shown = time.time()
    total = spent + (end - begin if end else 0)
    recent, read = [], 0
    while True:
        now = time.time()
        done = max(step / args.steps if args.steps else 0.0, (spent + now - begin) / total if end else 0.0)
        if done >= 1:
            break
        batch = batches.next(stage_of(done, args.copy_share, args.short_share))
        rate = rate_of(step, done)
        params, state, loss, right, answer_loss = move(params, state, batch, step, args.muon_rate * rate, args.adam_rate * rate, shape)
        recent.append((float(loss), float(right), float(answer_loss)))
        read += batch[0].size
        step += 1
        if time.time() - shown > 20:
            mean = np.mean(recent, axis=0)
            print(f"{datetime.now():%H:%M:%S} step {step} done {done:.3f} loss {mean[0]:.3f} answer {mean[2]:.3f} right {mean[1]:.3f} rate {rate:.3f} {read / (time.time() - begin):.0f} tok/s, {read / time.process_time():.0f} for a second of processor", flush=True)
            recent, shown = [], time.time()
        if time.time() - saved > 240:
            save(last, params, state, shape, step, batches.block, spent + time.time() - begin)
            saved = time.time()
    save(last, params, state, shape, step, batches.block, spent + time.time() - begin)
    print(f"{step} steps, {read:,} tokens in {time.time() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
