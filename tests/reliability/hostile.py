"""Hostile files: SentencePiece models made wrong, checkpoints made to harm, foreign formats."""

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lm import resources
from lm.checkpoint import folder as checkpoint

# A pickle that would write a file when it is loaded: os.system("touch pwned").
PICKLE = b"cposix\nsystem\n(S'touch pwned'\ntR."
HEADER = struct.Struct("<Q")
FACTS = b'{"a": 1}'  # of the pipeline whose position is forged


def shipped() -> bytes:
    """Returns a sound model."""
    return next(resources.tokenizers_folder().glob("*/*.model")).read_bytes()


def field(number: int, content: bytes) -> bytes:
    """Returns a protocol buffer field of bytes."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(number: int) -> bytes:
    """Returns a number in groups of seven bits."""
    groups = []
    while number >> 7:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def piece(text: bytes, score: float = -1.0, kind: int = 1) -> bytes:
    """Returns a piece of a model."""
    content = field(1, text) + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(kind)
    return field(1, content)


SPECIAL = piece(b"<pad>", 0, 3) + piece(b"</s>", 0, 3) + piece(b"<unk>", 0, 2)


def with_charsmap(charsmap: bytes) -> bytes:
    """Returns a model with this map of characters in its normalizer."""
    return SPECIAL + piece(b"a") + field(3, field(2, charsmap))


MODELS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "noise": lambda: np.random.default_rng(0).bytes(4096),
    "cut in half": lambda: shipped()[: len(shipped()) // 2],
    "cut by a byte": lambda: shipped()[:-1],
    "a length beyond the file": lambda: b"\x0a" + varint(2**40) + b"x",
    "no piece": lambda: field(2, b""),
    "no unknown piece": lambda: piece(b"a") + piece(b"b"),
    "two unknown pieces": lambda: SPECIAL + piece(b"<unk2>", 0, 2),
    "a piece twice": lambda: SPECIAL + piece(b"a") + piece(b"a"),
    "an empty piece": lambda: SPECIAL + piece(b""),
    "a piece with NUL": lambda: SPECIAL + piece(b"a\0b") + piece(b"c"),
    "an overlong piece": lambda: SPECIAL + piece(b"a" * 10**6) + piece(b"a"),
    "a piece that is no UTF-8": lambda: SPECIAL + piece(b"\xff\xfe"),
    "a score that is no number": lambda: SPECIAL + piece(b"a", float("nan")),
    "a type that is none": lambda: SPECIAL + piece(b"a", -1.0, 99),
    "a map of noise": lambda: with_charsmap(np.random.default_rng(1).bytes(512)),
    "a map beyond its end": lambda: with_charsmap(struct.pack("<I", 2**31) + b"x"),
    "an odd map": lambda: with_charsmap(struct.pack("<I", 7) + b"\xff" * 7),
    "a map of loops": lambda: with_charsmap(struct.pack("<I", 1024) + b"\x01" * 1024),
    "special ids elsewhere": lambda: piece(b"<unk>", 0, 2) + piece(b"<s>", 0, 3) + piece(b"a"),
    "a pickle": lambda: PICKLE,
    "safetensors": lambda: HEADER.pack(2) + b"{}",
}


def tensors(header: object, data: bytes = b"") -> bytes:
    """Returns a safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return HEADER.pack(len(text)) + text + data


def array(**changes: object) -> dict[str, object]:
    """Returns a header of one tensor."""
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


def npz_of_a_pickle() -> bytes:
    """Returns an npz archive whose array is an object."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
        head += b" " * (118 - len(head) - 1 - 10 + 10) + b"\n"
        archive.writestr(
            "x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + PICKLE
        )
    return packed.getvalue()


def bomb() -> bytes:
    """Returns an archive that unpacks to 200 MiB."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("iterator.index", "w", force_zip64=True) as file:
            for _ in range(200):
                file.write(bytes(2**20))
        archive.writestr("pipeline.json", FACTS)
    return packed.getvalue()


def archive(contents: dict[str, bytes]) -> bytes:
    """Returns a zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return packed.getvalue()


WEIGHTS: dict[str, Callable[[], bytes]] = {
    "a pickle": lambda: PICKLE,
    "an npz of a pickle": npz_of_a_pickle,
    "empty": lambda: b"",
    "a header beyond the file": lambda: HEADER.pack(2**62) + b"{",
    "a header of brackets": lambda: tensors(b"[" * 10**5),
    "a header that is a list": lambda: tensors([1]),
    "a tensor beyond the data": lambda: tensors(array(data_offsets=[0, 2**40], shape=[2**38])),
    "a tensor of too many numbers": lambda: tensors(array(shape=[2**31, 2**31]), bytes(8)),
    "offsets backwards": lambda: tensors(array(data_offsets=[8, 0]), bytes(8)),
    "a type that is none": lambda: tensors(array(dtype="F999"), bytes(8)),
    "negative shape": lambda: tensors(array(shape=[-2]), bytes(8)),
    "a name that climbs": lambda: tensors(
        {"../../pwned": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)
    ),
    "HDF5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(512),
    "a Keras archive": lambda: archive({"config.json": b'{"class_name": "Lambda"}'}),
    "numbers that are none": lambda: tensors(array(), struct.pack("<2f", float("nan"), 1.0)),
}
POSITIONS: dict[str, Callable[[], bytes]] = {
    "a pickle as position": lambda: PICKLE,
    "a position that unpacks to 200 MiB": bomb,
    "a position that climbs": lambda: archive({"../../pwned": b"x", "pipeline.json": FACTS}),
    "a position without facts": lambda: archive({"iterator.index": b""}),
    "facts that are no JSON": lambda: archive({"pipeline.json": b"\xff"}),
    "facts that are a list": lambda: archive({"pipeline.json": b"[1]"}),
}


def sealed(place: Path, manifest: bytes) -> None:
    """Writes a manifest with a seal that fits: whoever can write one can also hash."""
    import hashlib

    (place / checkpoint.MANIFEST).write_bytes(manifest)
    (place / checkpoint.SEAL).write_text(hashlib.sha256(manifest).hexdigest())


def climbing(place: Path) -> None:
    """Lists a file outside the folder."""
    facts = {"bytes": 1, "sha256": ""}
    manifest = {"step": 1, "tensors": {}, "files": {"../../../pwned": facts}, "facts": {}}
    sealed(place, json.dumps({**manifest, "format": 1}).encode())


def endless(place: Path) -> None:
    """Puts a pipe that nobody writes to in the place of the weights."""
    (place / "weights.safetensors").unlink()
    os.mkfifo(place / "weights.safetensors")


def elsewhere(place: Path) -> None:
    """Puts a link to an endless device in the place of the weights."""
    (place / "weights.safetensors").unlink()
    (place / "weights.safetensors").symlink_to("/dev/zero")


FOLDERS: dict[str, Callable[[Path], None]] = {
    "a manifest that is no JSON": lambda place: sealed(place, b"\xff{"),
    "a manifest of brackets": lambda place: sealed(place, b"[" * 10**5),
    "a manifest that is a list": lambda place: sealed(place, b"[1]"),
    "a manifest with a list of files": lambda place: sealed(
        place, b'{"step": 1, "tensors": {}, "files": [1], "facts": {}, "format": 1}'
    ),
    "a manifest without its keys": lambda place: sealed(place, b'{"format": 1}'),
    "a manifest of another format": lambda place: sealed(place, b'{"format": "x"}'),
    "a manifest that climbs": climbing,
    "a pipe as weights": endless,
    "a link to an endless device": elsewhere,
}
