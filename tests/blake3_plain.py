"""BLAKE3 in plain Python, from its paper, so that the clients share no line with the servers. Large data goes to b3sum."""

import struct
import subprocess

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
# Columns, then diagonals.
LANES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
CHUNK, BLOCK, MASK = 1024, 64, 0xFFFFFFFF


def turn(word, by):
    return (word >> by | word << (32 - by)) & MASK


def compress(value, block, counter, length, flags):
    words = list(struct.unpack("<16I", block.ljust(BLOCK, b"\0")))
    state = list(value) + list(IV[:4]) + [counter & MASK, counter >> 32, length, flags]
    for _ in range(7):
        for lane, (a, b, c, d) in enumerate(LANES):
            for word, first, second in ((words[2 * lane], 16, 12), (words[2 * lane + 1], 8, 7)):
                state[a] = (state[a] + state[b] + word) & MASK
                state[d] = turn(state[d] ^ state[a], first)
                state[c] = (state[c] + state[d]) & MASK
                state[b] = turn(state[b] ^ state[c], second)
        words = [words[at] for at in ORDER]
    return [state[at] ^ state[at + 8] for at in range(8)]


def subtree(data, counter, root):
    """The chaining value of a part of the data."""
    if len(data) <= CHUNK:
        value = IV
        blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)] or [b""]
        for at, block in enumerate(blocks):
            flags = (CHUNK_START if at == 0 else 0) | (CHUNK_END | root if at == len(blocks) - 1 else 0)
            value = compress(value, block, counter, len(block), flags)
        return value
    left = CHUNK
    while left * 2 < len(data):
        left *= 2
    both = subtree(data[:left], counter, 0) + subtree(data[left:], counter + left // CHUNK, 0)
    return compress(IV, struct.pack("<16I", *both), 0, BLOCK, PARENT | root)


def hexdigest(data):
    if len(data) > 16 * CHUNK:
        return subprocess.run(["b3sum", "--no-names"], input=data, stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    return struct.pack("<8I", *subtree(data, 0, ROOT)).hex()
