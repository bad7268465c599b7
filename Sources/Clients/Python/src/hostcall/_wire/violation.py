"""What a peer is told that breaks the protocol."""


class ProtocolViolation(Exception):
    """The other side broke the protocol (section 3); the text says which frame broke which rule.

    Nothing more can be decoded of that connection: the answer is GOAWAY with status PROTOCOL and this text.
    """


def printable(data: bytes) -> str:
    """Bytes from outside as text that harms no terminal and no log: at most 64 characters, others than printable
    ASCII as `?`."""
    text = "".join(chr(byte) if 0x20 <= byte <= 0x7E else "?" for byte in data[:64])
    return text + ("…" if len(data) > 64 else "")
