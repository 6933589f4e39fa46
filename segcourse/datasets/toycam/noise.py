"""Random numbers and noise tables of the drawn data sets, the same to the bit on every machine."""

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")


class Draws:
    """Uniform numbers of one (stream, key) pair, from raw Philox words so that every NumPy draws the same."""

    def __init__(self, stream: int, key: int):
        self._bits = np.random.Philox(key=np.array([stream, key], np.uint64))
        self._pool = []

    def __call__(self, low: float = 0.0, high: float = 1.0) -> float:
        """The next number, a Python float in [low, high)."""
        if not self._pool:
            self._pool = uniforms(self._bits.random_raw(1024)).tolist()[::-1]
        return low + (high - low) * self._pool.pop()

    def chance(self, probability: float) -> bool:
        return self() < probability

    def pick(self, options: Sequence[Option]) -> Option:
        return options[int(self() * len(options))]

    def whole(self, low: int, high: int) -> int:
        """An integer in low..high, both included."""
        return low + int(self() * (high - low + 1))

    def bytes(self, count: int) -> np.ndarray:
        """uint8[count], for noise."""
        words = self._bits.random_raw((count + 7) // 8)
        return words.astype("<u8").view(np.uint8)[:count]


def uniforms(words: np.ndarray) -> np.ndarray:
    """float64 in [0, 1) from raw 64-bit words: the top 53 bits, scaled exactly."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


@cache
def noise(octaves: tuple[int, ...] = (4, 8, 16, 32, 64), key: int = 0, size: int = 256) -> np.ndarray:
    """float32[size, size] tileable value noise in about 0..1; `octaves` are lattice sizes, coarse to fine."""
    total, weight, strength = np.zeros((size, size), np.float32), 0.0, 1.0
    for number, lattice in enumerate(octaves):
        bits = np.random.Philox(key=np.array([77 + key, number], np.uint64))
        grid = uniforms(bits.random_raw(lattice * lattice)).reshape(lattice, lattice).astype(np.float32)
        at = np.arange(size, dtype=np.float32) * np.float32(lattice / size)
        low = np.floor(at).astype(np.int64)
        part = at - low.astype(np.float32)
        part = part * part * (3.0 - 2.0 * part)
        high = (low + 1) % lattice
        rows = grid[low] + (grid[high] - grid[low]) * part[:, None]
        total += strength * (rows[:, low] + (rows[:, high] - rows[:, low]) * part)
        weight, strength = weight + strength, strength * 0.5
    return total / np.float32(weight)


def smooth(table: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear entry of a tileable table."""
    size = table.shape[0] - 1
    r, c = np.floor(rows), np.floor(columns)
    fr, fc = rows - r, columns - c
    r0, c0 = r.astype(np.int32) & size, c.astype(np.int32) & size
    r1, c1 = (r0 + 1) & size, (c0 + 1) & size
    upper = table[r0, c0] + (table[r0, c1] - table[r0, c0]) * fc
    lower = table[r1, c0] + (table[r1, c1] - table[r1, c0]) * fc
    return upper + (lower - upper) * fr


def lookup(table: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Nearest entry of a tileable table at float coordinates."""
    size = table.shape[0] - 1
    return table[np.floor(rows).astype(np.int32) & size, np.floor(columns).astype(np.int32) & size]
