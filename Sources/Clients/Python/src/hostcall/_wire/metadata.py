"""Metadata: small named texts that travel beside a payload (protocol section 2)."""

import re
from typing import Dict, Mapping

from .violation import ProtocolViolation

LONGEST_METADATA_KEY_BYTES = 64
"""Bytes of the longest key."""
LARGEST_METADATA_BYTES = 65_535
"""Bytes of all entries of one frame together, as they go over the wire."""
RESERVED_KEY_PREFIX = "hostcall-"
"""The beginning of the keys that the daemon alone writes."""

_KEY = re.compile("[a-z0-9-]{1,64}")
_KEY_BYTES = re.compile(b"[a-z0-9-]{1,64}")


def encode_metadata(metadata: Mapping[str, str]) -> bytes:
    """Metadata as it goes over the wire, in the mapping's order.

    Raises ValueError where a key or a value cannot travel, TypeError where one is not text.
    """
    parts = []
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata is text by text, and {key!r}: {value!r} is not")
        if _KEY.fullmatch(key) is None:
            raise ValueError(f"metadata key “{key}” is not 1 to 64 of the characters a-z 0-9 -")
        try:
            encoded = value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the metadata value of “{key}” is not text that UTF-8 can hold") from None
        if len(encoded) > LARGEST_METADATA_BYTES or b"\0" in encoded:
            raise ValueError(f"the metadata value of “{key}” is longer than 65,535 bytes or contains a NUL")
        parts.append(bytes((len(key),)) + key.encode() + len(encoded).to_bytes(2, "little") + encoded)
    whole = b"".join(parts)
    if len(whole) > LARGEST_METADATA_BYTES:
        raise ValueError("metadata of more than 65,535 bytes in all does not fit into a frame")
    return whole


def decode_metadata(data: bytes, *, allows_reserved_keys: bool) -> Dict[str, str]:
    """Metadata from the wire; raises ProtocolViolation where it is malformed.

    Only the daemon may write keys that begin with `hostcall-`: `allows_reserved_keys` says whether it is the sender.
    """
    metadata: Dict[str, str] = {}
    position = 0
    end = len(data)
    while position < end:
        key_end = position + 1 + data[position]
        value_start = key_end + 2
        if value_start > end:
            raise ProtocolViolation("the metadata ends in the middle of an entry")
        value_end = value_start + data[key_end] + (data[key_end + 1] << 8)
        if value_end > end:
            raise ProtocolViolation("the metadata ends in the middle of an entry")
        key_bytes = data[position + 1 : key_end]
        if _KEY_BYTES.fullmatch(key_bytes) is None:
            raise ProtocolViolation("a metadata key is not 1 to 64 of the characters a-z 0-9 -")
        key = key_bytes.decode("ascii")
        if not allows_reserved_keys and key.startswith(RESERVED_KEY_PREFIX):
            raise ProtocolViolation(f"the metadata key {key} begins with hostcall-, which only the daemon writes")
        if key in metadata:
            raise ProtocolViolation(f"the metadata key {key} stands there twice")
        try:
            value = data[value_start:value_end].decode()
        except UnicodeDecodeError:
            value = "\0"
        if "\0" in value:
            raise ProtocolViolation(f"the metadata value of {key} is not UTF-8 without NUL")
        metadata[key] = value
        position = value_end
    return metadata
