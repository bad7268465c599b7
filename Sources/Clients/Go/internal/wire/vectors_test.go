package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/iotest"
)

// vectors is protocol-vectors.json, which all implementations share.
type vectors struct {
	Version uint32
	Frames  []vectorFrame
	Refused []struct {
		What  string
		Bytes hexBytes
	}
}

type vectorFrame struct {
	What, Way               string
	Bytes                   hexBytes
	Kind                    string
	Flags, Encoding, Status uint8
	ID                      string
	Function, Timeout, Aux  uint32
	Name                    string
	Metadata                map[string]string
	Payload                 hexBytes
}

type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(text []byte) error {
	var digits string
	if err := json.Unmarshal(text, &digits); err != nil {
		return err
	}
	decoded, err := hex.DecodeString(digits)
	*h = decoded
	return err
}

func (v vectorFrame) direction() Direction {
	if v.Way == "P>D" {
		return ToDaemon
	}
	return ToPeer
}

func loadVectors(t *testing.T) vectors {
	t.Helper()
	path := filepath.Join("..", "..", "..", "..", "..", "Tests", "HostcallWireTests", "protocol-vectors.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if v.Version != Version || len(v.Frames) < 32 || len(v.Refused) < 48 {
		t.Fatalf("version %d, %d frames and %d refused ones are not all of the vectors",
			v.Version, len(v.Frames), len(v.Refused))
	}
	return v
}

// cutReader gives bytes out in pieces of random sizes, the same ones for the same seed.
type cutReader struct {
	rest   []byte
	random *rand.Rand
}

func (r *cutReader) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.rest[:1+r.random.Intn(len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}

// fragmentations is the same bytes whole, one at a time, and cut at random places.
func fragmentations(b []byte) map[string]io.Reader {
	all := map[string]io.Reader{
		"whole":        bytes.NewReader(b),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(b)),
	}
	for seed := int64(0); seed < 10; seed++ {
		all["cut with seed "+strconv.FormatInt(seed, 10)] = &cutReader{b, rand.New(rand.NewSource(seed))}
	}
	return all
}

func TestVectorsDecodeToTheirFields(t *testing.T) {
	for _, vector := range loadVectors(t).Frames {
		t.Run(vector.What, func(t *testing.T) {
			for how, source := range fragmentations(vector.Bytes) {
				reader := NewReader(source, vector.direction(), 1<<24)
				frame, err := reader.Next()
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				checkFields(t, vector, frame)
				if _, err := reader.Next(); err != io.EOF {
					t.Errorf("%s: %v follows the frame", how, err)
				}
			}
		})
	}
}

func checkFields(t *testing.T, vector vectorFrame, frame *Frame) {
	t.Helper()
	id, err := strconv.ParseUint(vector.ID, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	got := frame.Header
	expected := Header{
		Size: uint32(len(vector.Bytes) - HeaderBytes), Kind: got.Kind, Flags: Flags(vector.Flags),
		Encoding: vector.Encoding, Status: vector.Status, ID: id, Function: vector.Function, Timeout: vector.Timeout,
		Aux: vector.Aux, NameSize: uint16(len(vector.Name)), MetadataSize: got.MetadataSize,
	}
	if got != expected || got.Kind.String() != vector.Kind {
		t.Errorf("the header is %+v, not %+v of kind %s", got, expected, vector.Kind)
	}
	if string(frame.Name) != vector.Name || !bytes.Equal(frame.Payload, vector.Payload) {
		t.Errorf("name %q and payload %x, not %q and %x", frame.Name, frame.Payload, vector.Name, []byte(vector.Payload))
	}
	count := 0
	for rest := frame.Metadata; len(rest) > 0; count++ {
		key, value, after, ok := NextEntry(rest)
		if expected, is := vector.Metadata[string(key)]; !ok || !is || string(value) != expected {
			t.Fatalf("the metadata %s are %q, not %q", key, value, expected)
		}
		rest = after
	}
	if count != len(vector.Metadata) {
		t.Errorf("%d metadata entries, not %d", count, len(vector.Metadata))
	}
}

func TestVectorsComeOutOfTheEncoderWithTheSameBytes(t *testing.T) {
	for _, vector := range loadVectors(t).Frames {
		t.Run(vector.What, func(t *testing.T) {
			frame, err := NewReader(bytes.NewReader(vector.Bytes), vector.direction(), 1<<24).Next()
			if err != nil {
				t.Fatal(err)
			}
			var metadata []byte
			for rest := frame.Metadata; len(rest) > 0; {
				var key, value []byte
				key, value, rest, _ = NextEntry(rest)
				metadata = AppendEntry(metadata, string(key), string(value))
			}
			header := frame.Header
			// Sizes that stand there already are overwritten.
			header.Size, header.NameSize, header.MetadataSize = 7, 8, 9
			encoded := AppendFrame([]byte("before"), header, vector.Name, metadata, vector.Payload)
			if !bytes.Equal(encoded, append([]byte("before"), vector.Bytes...)) {
				t.Errorf("the bytes are %x, not %x", encoded, []byte(vector.Bytes))
			}
		})
	}
}

func TestVectorsAreRefusedGoingTheOtherWay(t *testing.T) {
	for _, vector := range loadVectors(t).Frames {
		t.Run(vector.What, func(t *testing.T) {
			other := ToDaemon + ToPeer - vector.direction()
			_, err := NewReader(bytes.NewReader(vector.Bytes), other, 1<<24).Next()
			kind := Kind(vector.Bytes[4])
			maySend := rulesOfKinds[kind].directions&other != 0
			if maySend != (err == nil) {
				t.Errorf("%s the other way: %v", kind, err)
			}
		})
	}
}

func TestVectorsArriveAsOneStream(t *testing.T) {
	for _, direction := range []Direction{ToDaemon, ToPeer} {
		var all []byte
		var expected []vectorFrame
		for _, vector := range loadVectors(t).Frames {
			if vector.direction() == direction {
				all = append(all, vector.Bytes...)
				expected = append(expected, vector)
			}
		}
		for how, source := range fragmentations(all) {
			reader := NewReader(source, direction, 1<<24)
			for _, vector := range expected {
				frame, err := reader.Next()
				if err != nil {
					t.Fatalf("%s: %s: %v", how, vector.What, err)
				}
				checkFields(t, vector, frame)
			}
		}
	}
}

func TestRefusedVectorsAreRefused(t *testing.T) {
	// These break no rule by themselves, but by what came before them on the connection.
	brokenByHistory := map[string]bool{"second HELLO": true, "CALL before HELLO": true}
	for _, vector := range loadVectors(t).Refused {
		t.Run(vector.What, func(t *testing.T) {
			for how, source := range fragmentations(vector.Bytes) {
				_, err := NewReader(source, ToDaemon, 1<<24).Next()
				_, isViolation := err.(*Violation)
				if isViolation == brokenByHistory[vector.What] || !isViolation && err != nil {
					t.Errorf("%s: %v", how, err)
				}
			}
			behindPing := AppendFrame(nil, Header{Kind: Ping}, "", nil, nil)
			reader := NewReader(bytes.NewReader(append(behindPing, vector.Bytes...)), ToDaemon, 1<<24)
			if frame, err := reader.Next(); err != nil || frame.Kind != Ping {
				t.Errorf("the frame before it was lost: %v", err)
			}
		})
	}
}
