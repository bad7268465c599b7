package wire

import "io"

// readBufferBytes is what one read asks for at most, unless a larger frame is under way.
const readBufferBytes = 64 << 10

// Frame is one whole, checked frame. Name, Metadata and Payload are valid until the reader is asked for the next one,
// but for a payload that IsOwned.
type Frame struct {
	Header
	Name     []byte
	Metadata []byte
	Payload  []byte
	// IsTooLarge: the body exceeds what is taken; it is thrown away, and none of the parts is there.
	IsTooLarge bool
	// IsOwned: the payload has memory of its own, which the reader does not use again.
	IsOwned bool
}

// TakePayload is the payload for as long as anybody wants it; nil where it is empty.
func (f *Frame) TakePayload() []byte {
	if len(f.Payload) == 0 {
		return nil
	}
	if f.IsOwned {
		return f.Payload
	}
	return append([]byte(nil), f.Payload...)
}

// Reader reads frames of one direction from a connection.
//
// A frame is refused as soon as its header shows that it breaks a rule. Memory grows with the bytes that came, to twice
// as many at most, never with what a size field asks for.
type Reader struct {
	source       io.Reader
	direction    Direction
	largestBytes uint32

	buffer []byte
	// What has been read and not been given out is buffer[start:end].
	start, end int
	frame      Frame
}

// NewReader reads frames with bodies of up to so many bytes; larger ones are told of and skipped.
func NewReader(source io.Reader, direction Direction, largestBytes uint32) *Reader {
	return &Reader{
		source: source, direction: direction, largestBytes: largestBytes, buffer: make([]byte, readBufferBytes),
	}
}

// Next waits for a whole frame, which is valid until the next call.
//
// Errors: a Violation, io.EOF where the connection ended between frames, io.ErrUnexpectedEOF where it ended within one,
// and what the connection says. After any of them nothing more can be read.
func (r *Reader) Next() (*Frame, error) {
	if err := r.fill(HeaderBytes); err != nil {
		return nil, err
	}
	header := DecodeHeader(r.buffer[r.start:])
	if err := CheckHeader(&header, r.direction); err != nil {
		return nil, err
	}
	r.start += HeaderBytes
	r.frame = Frame{Header: header}
	if header.Size > r.largestBytes {
		r.frame.IsTooLarge = true
		return &r.frame, r.skip(int64(header.Size))
	}
	body, err := r.body(int(header.Size))
	if err != nil {
		return nil, err
	}
	if header.NameSize|header.MetadataSize != 0 {
		if err := CheckBody(&header, body, r.direction); err != nil {
			return nil, err
		}
	}
	metadataEnd := int(header.NameSize) + int(header.MetadataSize)
	r.frame.Name = body[:header.NameSize:header.NameSize]
	r.frame.Metadata = body[header.NameSize:metadataEnd:metadataEnd]
	r.frame.Payload = body[metadataEnd:]
	return &r.frame, nil
}

// fill reads until so many bytes, which fit into the buffer, are there.
func (r *Reader) fill(count int) error {
	if r.end-r.start >= count {
		return nil
	}
	if r.start == r.end {
		r.start, r.end = 0, 0
	} else if r.start+count > len(r.buffer) {
		r.end = copy(r.buffer, r.buffer[r.start:r.end])
		r.start = 0
	}
	for r.end-r.start < count {
		n, err := r.source.Read(r.buffer[r.end:])
		r.end += n
		if err != nil && r.end-r.start < count {
			if err == io.EOF && r.end > r.start {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// body reads a frame's body: where it lies in the buffer, or, of a frame that does not fit there, in memory of its own.
func (r *Reader) body(size int) ([]byte, error) {
	if size+HeaderBytes <= len(r.buffer) {
		if err := r.fill(size); err != nil {
			return nil, withinFrame(err)
		}
		body := r.buffer[r.start : r.start+size]
		r.start += size
		return body, nil
	}
	r.frame.IsOwned = true
	body := make([]byte, 0, min(2*len(r.buffer), size))
	body = append(body, r.buffer[r.start:r.end]...)
	r.start, r.end = 0, 0
	for len(body) < size {
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(2*cap(body), size))
			copy(grown, body)
			body = grown
		}
		n, err := r.source.Read(body[len(body):min(cap(body), size)])
		body = body[:len(body)+n]
		if err != nil && len(body) < size {
			return nil, withinFrame(err)
		}
	}
	return body, nil
}

// skip throws the next bytes away.
func (r *Reader) skip(count int64) error {
	for count > 0 {
		if r.start == r.end {
			if err := r.fill(1); err != nil {
				return withinFrame(err)
			}
		}
		n := r.end - r.start
		if int64(n) > count {
			n = int(count)
		}
		r.start += n
		count -= int64(n)
	}
	return nil
}

// withinFrame is the error of a read after a frame's header.
func withinFrame(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
