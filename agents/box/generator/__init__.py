"""The generator of training examples. It reads its own banks of phrases and nothing else."""
