"""Writes a checkpoint as GGUF: q8_0 matrices, float32 norms, the tokenizer and what the model is.

    python export.py CHECKPOINT.npz OUT.gguf [TOKENIZER.json]
"""

import hashlib
import json
import sys
from pathlib import Path

import gguf
import numpy as np

from evaluate import Judge, sharpness_of
from tokenizer import SPECIALS, VOCAB, special

HERE = Path(__file__).parent
LIMIT = 20 * 1024 * 1024


def recipe() -> str:
    """SHA-256 over names and contents of all sources that make the model."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("*.py"), *HERE.glob("generator/*.py"), *HERE.glob("generator/bank/*.txt"), HERE / "requirements.txt", HERE / "tokenizer.json"]):
        digest.update(str(path.relative_to(HERE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def export(checkpoint: str, out: str, tokenizer: str) -> None:
    """Writes the file; raises ValueError if it is larger than the repository allows."""
    data = np.load(checkpoint)
    shape = {k: v for k, v in data["shape"]}
    layers = int(shape["layers"])
    w = gguf.GGUFWriter(out, "qwen3")
    w.add_name("citybrain-box")
    w.add_author("citybrain")
    w.add_license("apache-2.0")
    w.add_description("Reads citizens' messages: spans, titles and choices. Trained on generated text alone.")
    w.add_languages(["zh", "en"])
    w.add_string("citybrain.tasks", "native-2")
    w.add_float32("citybrain.choose.sharpness", sharpness_of(Judge(checkpoint, tokenizer), 1000))
    w.add_string("citybrain.recipe", recipe())
    w.add_uint32("citybrain.steps", int(data["step"]))
    w.add_context_length(int(shape["context"]))
    w.add_embedding_length(int(shape["dim"]))
    w.add_block_count(layers)
    w.add_feed_forward_length(int(shape["ff"]))
    w.add_head_count(int(shape["heads"]))
    w.add_head_count_kv(int(shape["kv_heads"]))
    w.add_key_length(int(shape["head_dim"]))
    w.add_value_length(int(shape["head_dim"]))
    w.add_rope_freq_base(float(shape["rope_base"]))
    w.add_layer_norm_rms_eps(float(shape["eps"]))
    w.add_vocab_size(VOCAB)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)

    model = json.loads(Path(tokenizer).read_text("utf-8"))["model"]
    order = sorted(model["vocab"], key=model["vocab"].get)
    types = [gguf.TokenType.CONTROL if t in SPECIALS else gguf.TokenType.UNUSED if t.startswith("<|unused") else gguf.TokenType.NORMAL for t in order]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(order)
    w.add_token_types(types)
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    w.add_eos_token_id(special("<|end|>"))
    w.add_eot_token_id(special("<|end|>"))
    w.add_pad_token_id(special("<|pad|>"))
    w.add_add_bos_token(False)

    def matrix(name: str, values: np.ndarray) -> None:
        rows = np.ascontiguousarray(values.astype(np.float32))
        w.add_tensor(name, gguf.quants.quantize(rows, gguf.GGMLQuantizationType.Q8_0), raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    matrix("token_embd.weight", data["p.emb"])
    said = int(shape.get("spoken", 0)) or int(shape["dim"])
    if said < int(shape["dim"]):
        # Logits read the first dimensions alone.
        matrix("output.weight", np.pad(data["p.emb"][:, :said], ((0, 0), (0, int(shape["dim"]) - said))))
    w.add_tensor("output_norm.weight", data["p.nf"].astype(np.float32))
    names = {"wq": "attn_q", "wk": "attn_k", "wv": "attn_v", "wo": "attn_output", "w1": "ffn_gate", "w3": "ffn_up", "w2": "ffn_down"}
    norms = {"n1": "attn_norm", "n2": "ffn_norm", "qn": "attn_q_norm", "kn": "attn_k_norm"}
    for i in range(layers):
        for ours, theirs in names.items():
            matrix(f"blk.{i}.{theirs}.weight", data[f"p.{ours}"][i].T)
        for ours, theirs in norms.items():
            w.add_tensor(f"blk.{i}.{theirs}.weight", data[f"p.{ours}"][i].astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    size = Path(out).stat().st_size
    print(f"{out}: {size:,} bytes, SHA-256 {hashlib.sha256(Path(out).read_bytes()).hexdigest()}")
    if size > LIMIT:
        raise ValueError(f"the file is larger than {LIMIT} bytes: train a smaller shape")


if __name__ == "__main__":
    export(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else str(HERE / "tokenizer.json"))
