"""MRD as a stream of messages (ismrmrd's protocol, what Gadgetron and ismrmrd_hdf5_to_stream speak), in a file."""

import struct
from pathlib import Path
from typing import BinaryIO

import ismrmrd
import numpy as np
from ismrmrd.hdf5 import acquisition_header_dtype
from ismrmrd.serialization import ISMRMRDMessageID, ProtocolDeserializer

from clearmr.errors import InputError

CONFIG_FILE_BYTES = 1024


class _Bounded:
    """A file that never gives less than asked: what lies beyond its end is an EOFError before it is allocated."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, n: int) -> bytes:
        if n > self._left:
            raise EOFError(f"the file ends {n - self._left} bytes too early")
        self._left -= n
        return self._file.read(n)


class _RawHeader(ProtocolDeserializer):
    """ismrmrd's deserializer, giving the header as the bytes that came: a fault in it is reported by its reader."""

    def _deserialize_ismrmrd_header(self) -> bytes:  # type: ignore[override]
        (length,) = struct.unpack("<I", self._stream.read(4))
        return self._stream.read(length)


def is_stream(start: bytes) -> bool:
    """Whether the first 1100 bytes of a file are those of an MRD stream: a configuration or an XML header."""
    if len(start) < 7:
        return False
    kind, length = struct.unpack_from("<HI", start)
    if kind == ISMRMRDMessageID.HEADER:
        return start[6:].lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"<"
    if kind == ISMRMRDMessageID.CONFIG_FILE:
        at = 2 + CONFIG_FILE_BYTES
        return start[at : at + 2] == struct.pack("<H", ISMRMRDMessageID.HEADER)
    return kind == ISMRMRDMessageID.CONFIG_TEXT and start[6:].lstrip()[:1] in (b"<", b"{") and length > 0


def read_stream(path: Path) -> tuple[bytes, np.ndarray, list[np.ndarray]]:
    """XML header, acquisition headers and samples (coil, sample) of a stream in a file.

    Raises InputError where the stream breaks off or holds an unknown message.
    """
    xml, acquisitions = b"", []
    try:
        with path.open("rb") as file:
            for message in _RawHeader(_Bounded(file, path.stat().st_size)).deserialize():  # type: ignore[arg-type]
                if isinstance(message, ismrmrd.Acquisition):
                    acquisitions.append(message)
                elif isinstance(message, bytes):
                    xml = message
    except (EOFError, ValueError, MemoryError, struct.error, UnicodeDecodeError) as error:
        found = f"{path.name} that breaks off after {len(acquisitions)} acquisitions ({error})"
        raise InputError("a whole MRD stream, ending with a close message", found, "record the stream again") from error
    heads = b"".join(bytes(a.getHead()) for a in acquisitions)
    return xml, np.frombuffer(heads, dtype=acquisition_header_dtype), [a.data for a in acquisitions]
