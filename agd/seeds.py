"""Seeds from other seeds, so that no two uses of chance share one; the same numbers on every machine."""

import hashlib

import numpy as np


def derive_seed(*parts: int | str) -> int:
    """A seed below 2**63 from other seeds and names, unrelated for unlike parts."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def member_seed(seed: int, kind: str) -> int:
    """A seed below 2**32 for the member of that kind of an ensemble."""
    return int.from_bytes(hashlib.sha256(f"{seed} {kind}".encode()).digest()[:4], "big")


def spawn_seeds(seed: int, n: int) -> list[int]:
    """Seeds below 2**32 for `n` fits alike; the first ones are the same whatever their number."""
    return [int(spawned) for spawned in np.random.SeedSequence(seed).generate_state(n)]
