"""Payloads as text for people."""

from typing import Optional

from ._wire import Encoding

LONGEST_TEXT = 1_000
"""Characters of a payload that an error shows."""


def payload_text(payload: bytes, encoding: int) -> str:
    """The payload as text where it is text, else how much of what it is."""
    if not payload:
        return ""
    text: Optional[str] = None
    if encoding in (Encoding.RAW, Encoding.JSON):
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            text = None
    if text is None:
        return f"{len(payload)} bytes, encoding {Encoding(encoding)}"
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"


def printable_text(text: str) -> str:
    """Text from another process as it may go to a terminal: control characters but line feeds and tabs as `?`."""
    if text.isprintable():
        return text
    return "".join("?" if _is_control(character) else character for character in text)


def _is_control(character: str) -> bool:
    code = ord(character)
    return character not in "\n\t" and (code < 0x20 or 0x7F <= code <= 0x9F)
