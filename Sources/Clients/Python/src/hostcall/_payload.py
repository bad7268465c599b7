"""What is sent and what comes: bytes, text, JSON, and what they are wrapped in."""

import json
from typing import Any, Mapping, Optional, Tuple, Union

from ._errors import InvalidArgument
from ._text import payload_text
from ._wire import ENCODINGS, NO_METADATA, RESERVED_KEY_PREFIX, Encoding, Status, encode_metadata


class JSON:
    """A value that is to be sent as JSON: `await client.call("sum", JSON([1, 2, 3]))`, or returned by a handler.

    It is encoded when it is sent; what `json.dumps` refuses raises its TypeError or ValueError there.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"JSON({self.value!r})"


class Content:
    """Something with a payload: what a request, reply, item and event have in common."""

    __slots__ = ("payload", "encoding")

    payload: bytes
    """The bytes."""
    encoding: Encoding
    """What the bytes are."""

    @property
    def text(self) -> str:
        """The payload as text; bytes that are not UTF-8 become U+FFFD."""
        return self.payload.decode(errors="replace")

    def json(self) -> Any:
        """The payload as JSON, whatever its encoding says. Raises ValueError where it is none."""
        return json.loads(self.payload)


Payload = Union[bytes, bytearray, memoryview, str, JSON, Content]
"""What can be sent: bytes as they are, text in UTF-8, JSON(value), or what came (a reply, an item, an event)."""


class Item(Content):
    """One item of a stream: a result on its way to the caller, or an argument on its way to the worker."""

    __slots__ = ()

    def __init__(self, payload: Payload = b"", *, encoding: Optional[int] = None) -> None:
        data, number = wire_payload(payload, encoding)
        self.payload = data
        self.encoding = ENCODINGS[number]

    def __repr__(self) -> str:
        return f"Item({self.payload!r}, encoding={self.encoding})"


class Reply(Content):
    """What a call came back with; a handler returns one to send metadata or an encoding of its own.

    `metadata` is what the worker sent beside the result, `correlation_id` the number by which worker, logs and tools
    know the call (None where the daemon issued none, and in a reply that is to be sent).
    """

    __slots__ = ("metadata", "correlation_id")

    def __init__(
        self, payload: Payload = b"", *, encoding: Optional[int] = None, metadata: Mapping[str, str] = NO_METADATA,
        correlation_id: Optional[int] = None,
    ) -> None:
        data, number = wire_payload(payload, encoding)
        self.payload = data
        self.encoding = ENCODINGS[number]
        self.metadata = metadata
        self.correlation_id = correlation_id

    def __repr__(self) -> str:
        return f"Reply({self.payload!r}, encoding={self.encoding}, correlation_id={self.correlation_id})"


Result = Union[None, Payload]
"""What a handler may return: nothing, or what can be sent; a Reply brings metadata along."""


class Failure(Exception):
    """What a handler raises to choose the status and the bytes that its caller gets.

    A worker may use the statuses 1 to 8, FAILED, CANCELLED, UNKNOWN and 128 to 255 of the application's own; any other
    is sent as FAILED. Any other exception ends the call with FAILED and the exception's text.
    """

    def __init__(
        self, status: int = Status.FAILED, payload: Payload = b"", *, encoding: Optional[int] = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> None:
        if not isinstance(status, int):
            raise TypeError(f"a status is a number, such as hostcall.Status.FAILED, and {status!r} is not")
        data, number = wire_payload(payload, encoding)
        super().__init__(status, data)
        self.status = Status(status)
        self.payload = data
        self.encoding = ENCODINGS[number]
        self.metadata = metadata

    def __str__(self) -> str:
        return f"{self.status}: {payload_text(self.payload, self.encoding)}"


def wire_payload(payload: Payload, encoding: Optional[int] = None) -> Tuple[bytes, int]:
    """A payload as bytes and the number of its encoding, which is that of its type unless it is given.

    Raises TypeError and ValueError where it cannot be sent.
    """
    own = 0
    if isinstance(payload, bytes):
        data = payload
    elif isinstance(payload, str):
        data = _utf8(payload)
    elif isinstance(payload, JSON):
        text = json.dumps(payload.value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = _utf8(text)
        own = 1
    elif isinstance(payload, Content):
        data = payload.payload
        own = payload.encoding
    elif isinstance(payload, (bytearray, memoryview)):
        data = bytes(payload)
    else:
        raise TypeError(
            f"a payload is bytes or str, and {type(payload).__name__} is neither (wrap it: hostcall.JSON(value))"
        )
    if encoding is None:
        return data, own
    if encoding not in ENCODINGS:
        raise InvalidArgument(f"the encoding {encoding} is reserved: 0 to 2 and 128 to 255 can be used")
    return data, int(encoding)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise InvalidArgument(
            f"the text cannot be sent: U+{code:04X} at the place {error.start} is half of a character, which UTF-8 "
            'cannot hold (send bytes, such as text.encode(errors="replace"))'
        ) from None


def reply_from_wire(payload: bytes, encoding: int, metadata: Mapping[str, str], correlation_id: int) -> Reply:
    """A reply as RESULT brings it."""
    reply = Reply.__new__(Reply)
    reply.payload = payload
    reply.encoding = ENCODINGS[encoding]
    reply.metadata = metadata
    reply.correlation_id = correlation_id or None
    return reply


def item_from_wire(payload: bytes, encoding: int) -> Item:
    """An item as ITEM brings it."""
    item = Item.__new__(Item)
    item.payload = payload
    item.encoding = ENCODINGS[encoding]
    return item


def wire_metadata(metadata: Optional[Mapping[str, str]], function: str) -> bytes:
    """Metadata as bytes. Raises InvalidArgument where it cannot be sent."""
    if not metadata:
        return b""
    for key in metadata:
        if isinstance(key, str) and key.startswith(RESERVED_KEY_PREFIX):
            raise InvalidArgument(f"the metadata key {key} is for the daemon alone to write", function=function)
    try:
        return encode_metadata(metadata)
    except ValueError as error:
        raise InvalidArgument(str(error), function=function) from None

