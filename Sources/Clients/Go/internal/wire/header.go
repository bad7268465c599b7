package wire

import "encoding/binary"

// HeaderBytes is the size of every frame's header.
const HeaderBytes = 32

// LargestBodyBytes is the largest body that a header can tell of.
const LargestBodyBytes = 1<<32 - 1

// HelloID is what HELLO carries as its id: the bytes HOSTCALL.
const HelloID uint64 = 0x4c4c4143_54534f48

// Version is the one protocol version spoken (section 8).
const Version uint32 = 1

// LongestPingBytes is the largest payload of PING and PONG.
const LongestPingBytes = 64

// Header is the first 32 bytes of a frame (section 2).
type Header struct {
	// Size is the bytes of body after the header: name, metadata and payload.
	Size     uint32
	Kind     Kind
	Flags    Flags
	Encoding uint8
	Status   uint8
	// ID is a request id or a correlation id, by kind.
	ID       uint64
	Function uint32
	// Timeout is in milliseconds; in RESULT, Function and Timeout together are the correlation id: see Call.
	Timeout      uint32
	NameSize     uint16
	MetadataSize uint16
	Aux          uint32
}

// Call is the correlation id that a RESULT answers, 0 if none was issued.
func (h *Header) Call() uint64 {
	return uint64(h.Function) | uint64(h.Timeout)<<32
}

// SetCall makes the eight bytes at 16 one number, as RESULT has them.
func (h *Header) SetCall(correlationID uint64) {
	h.Function = uint32(correlationID)
	h.Timeout = uint32(correlationID >> 32)
}

// PartsFit says whether name and metadata are no larger than the body.
func (h *Header) PartsFit() bool {
	return uint64(h.NameSize)+uint64(h.MetadataSize) <= uint64(h.Size)
}

// PayloadBytes is what is left of the body beside name and metadata, where the parts fit.
func (h *Header) PayloadBytes() int {
	return int(h.Size) - int(h.NameSize) - int(h.MetadataSize)
}

// DecodeHeader reads a header from 32 bytes, without a check.
func DecodeHeader(b []byte) Header {
	_ = b[HeaderBytes-1]
	return Header{
		Size:         binary.LittleEndian.Uint32(b),
		Kind:         Kind(b[4]),
		Flags:        Flags(b[5]),
		Encoding:     b[6],
		Status:       b[7],
		ID:           binary.LittleEndian.Uint64(b[8:]),
		Function:     binary.LittleEndian.Uint32(b[16:]),
		Timeout:      binary.LittleEndian.Uint32(b[20:]),
		NameSize:     binary.LittleEndian.Uint16(b[24:]),
		MetadataSize: binary.LittleEndian.Uint16(b[26:]),
		Aux:          binary.LittleEndian.Uint32(b[28:]),
	}
}

// AppendFrame appends a whole frame. The sizes in the header are set from the parts, which must fit into them; metadata is
// as AppendEntry makes it.
func AppendFrame(b []byte, h Header, name string, metadata, payload []byte) []byte {
	var head [HeaderBytes]byte
	binary.LittleEndian.PutUint32(head[0:], uint32(len(name)+len(metadata)+len(payload)))
	head[4] = byte(h.Kind)
	head[5] = byte(h.Flags)
	head[6] = h.Encoding
	head[7] = h.Status
	binary.LittleEndian.PutUint64(head[8:], h.ID)
	binary.LittleEndian.PutUint32(head[16:], h.Function)
	binary.LittleEndian.PutUint32(head[20:], h.Timeout)
	binary.LittleEndian.PutUint16(head[24:], uint16(len(name)))
	binary.LittleEndian.PutUint16(head[26:], uint16(len(metadata)))
	binary.LittleEndian.PutUint32(head[28:], h.Aux)
	b = append(b, head[:]...)
	b = append(b, name...)
	b = append(b, metadata...)
	return append(b, payload...)
}
