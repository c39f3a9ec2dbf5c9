"""TensorBoard's event files, written without TensorFlow: scalars and the mark of a restart.

A file is a sequence of records, each `length (8 bytes), crc(length), data, crc(data)`; the data is
a protocol buffer `Event{wall_time=1, step=2, file_version=3, summary=5, session_log=7}`.
"""

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected
_START = 1


class EventWriter:
    """Appends scalars to one new event file.

    Args:
        folder: TensorBoard's run folder; it is made if it is not there.
        step: the step training starts or goes on from; readers drop what an earlier process had
            written after it.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("ab")
        self._write(0, _bytes(3, b"brain.Event:2"))
        self._write(step + 1, _bytes(7, _integer(1, _START)))
        self._file.flush()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write tag -> number at a step."""
        summary = b"".join(
            _bytes(1, _bytes(1, tag.encode()) + _tag(2, 5) + struct.pack("<f", value))
            for tag, value in values.items()
        )
        self._write(step, _bytes(5, summary))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, step: int, content: bytes) -> None:
        """Append one event as a record."""
        data = _tag(1, 1) + struct.pack("<d", time.time()) + _integer(2, step) + content
        length = struct.pack("<Q", len(data))
        self._file.write(length + _masked_crc(length) + data + _masked_crc(data))


def _varint(number: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first."""
    groups = []
    while number >> 7:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _tag(field: int, kind: int) -> bytes:
    """Return the key of a field; kinds: 0 integer, 1 double, 2 bytes, 5 float."""
    return _varint(field << 3 | kind)


def _integer(field: int, number: int) -> bytes:
    """Return an integer field."""
    return _tag(field, 0) + _varint(number)


def _bytes(field: int, content: bytes) -> bytes:
    """Return a field of bytes: a string or a message."""
    return _tag(field, 2) + _varint(len(content)) + content


def _table() -> list[int]:
    """Return the CRC of every byte."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ _POLYNOMIAL * (value & 1)
        table.append(value)
    return table


_CRC = _table()


def _masked_crc(data: bytes) -> bytes:
    """Return the record format's checksum: CRC-32C, rotated and offset."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
