"""The wire protocol of Hostcall as values and bytes: no input or output, and nothing of the rest of the package.

Encoding, the same for both directions::

    data = encode_frame(Frame(Kind.CALL, id=REQUEST_MARK | 1, name="token.fetch", payload=b"alice", timeout=250))

Decoding, with the direction in which the bytes travel, for the rules differ: `Direction.TO_DAEMON` for what a peer
sends, as a daemon reads it, `Direction.TO_PEER` for what the daemon sends, as a client reads it::

    decoder = Decoder(Direction.TO_DAEMON, largest_body_bytes=16 << 20)
    while data := connection.recv(65536):
        for frame in decoder.frames(data):      # or decoder.feed(data) and decoder.next_frame() until that is None
            print(Kind(frame.kind).name, frame.id, frame.name, frame.metadata, frame.payload)

Frames come out checked by section 3 of the protocol; what breaks it raises `ProtocolViolation`, whose text is the
reason for GOAWAY. Rules that need the history of a connection (a second HELLO, a CALL before it, credit, request ids that are
outstanding) are for whoever keeps that history.

The package imports nothing outside of itself and the standard library, so it can also be used alone: with this folder's
parent on `sys.path` it is `import _wire`.
"""

from .decoder import Decoder
from .frame import HEADER_BYTES, NO_METADATA, Frame, encode, encode_frame
from .kinds import HELLO_ID, LONGEST_PING_BYTES, PROTOCOL_VERSION, REQUEST_MARK, Direction, Flags, Kind
from .metadata import LARGEST_METADATA_BYTES, RESERVED_KEY_PREFIX, decode_metadata, encode_metadata
from .names import LONGEST_NAME_BYTES, RESERVED_NAME_PREFIX, is_name, is_pattern
from .status import ASSIGNED_STATUSES, COMPLETION_STATUSES, ENCODINGS, STATUSES, Encoding, Status
from .violation import ProtocolViolation, printable

__all__ = [
    "ASSIGNED_STATUSES", "COMPLETION_STATUSES", "ENCODINGS", "HEADER_BYTES", "HELLO_ID", "LARGEST_METADATA_BYTES",
    "LONGEST_NAME_BYTES", "LONGEST_PING_BYTES", "NO_METADATA", "PROTOCOL_VERSION", "REQUEST_MARK", "RESERVED_KEY_PREFIX",
    "RESERVED_NAME_PREFIX", "STATUSES", "Decoder", "Direction", "Encoding", "Flags", "Frame", "Kind",
    "ProtocolViolation", "Status", "decode_metadata", "encode", "encode_frame", "encode_metadata", "is_name",
    "is_pattern", "printable",
]
