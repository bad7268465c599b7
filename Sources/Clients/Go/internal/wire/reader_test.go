package wire

import (
	"bytes"
	"io"
	"math/rand"
	"runtime"
	"strings"
	"testing"
)

func TestABodyThatIsTooLargeIsSkippedAndTheNextFrameArrives(t *testing.T) {
	const largest = 1000
	for _, size := range []int{largest, largest + 1, 10_000, 300_000} {
		stream := AppendFrame(nil, Header{Kind: Result, ID: 5}, "", nil, make([]byte, size))
		stream = AppendFrame(stream, Header{Kind: Pong, ID: 6}, "", nil, []byte("next"))
		for how, source := range fragmentations(stream) {
			reader := NewReader(source, ToPeer, largest)
			frame, err := reader.Next()
			if err != nil || frame.IsTooLarge != (size > largest) || frame.ID != 5 || frame.Size != uint32(size) {
				t.Fatalf("%d bytes, %s: %+v, %v", size, how, frame, err)
			}
			if frame.IsTooLarge && len(frame.Payload) > 0 {
				t.Errorf("%d bytes, %s: a body that is not taken is there", size, how)
			}
			if frame, err = reader.Next(); err != nil || string(frame.Payload) != "next" {
				t.Errorf("%d bytes, %s: the next frame is lost: %v", size, how, err)
			}
		}
	}
}

func TestALargeBodyArrivesWholeAndHasMemoryOfItsOwn(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for _, size := range []int{0, 1, 65_503, 65_504, 65_505, 65_536, 200_000, 1_000_003} {
		payload := make([]byte, size)
		random.Read(payload)
		metadata := AppendEntry(nil, "key", "value")
		stream := AppendFrame(nil, Header{Kind: Invoke, ID: 1}, "a.b", metadata, payload)
		stream = AppendFrame(stream, Header{Kind: Ping, ID: 2}, "", nil, nil)
		reader := NewReader(&cutReader{stream, random}, ToPeer, 1<<24)
		frame, err := reader.Next()
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		taken := frame.TakePayload()
		if string(frame.Name) != "a.b" || !bytes.Equal(frame.Metadata, metadata) || !bytes.Equal(taken, payload) {
			t.Errorf("%d bytes came otherwise than they were sent", size)
		}
		if frame, err = reader.Next(); err != nil || frame.Kind != Ping {
			t.Errorf("%d bytes: the next frame is lost: %v", size, err)
		}
		if !bytes.Equal(taken, payload) {
			t.Errorf("%d bytes: a payload that was taken has changed with the next frame", size)
		}
	}
}

// A header that promises 256 MiB, of which a few bytes come.
func TestASizeFieldAloneCostsNoMemory(t *testing.T) {
	header := AppendFrame(nil, Header{Kind: Result, ID: 1}, "", nil, nil)
	header[3] = 0x10
	stream := append(header, make([]byte, 100_000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := NewReader(bytes.NewReader(stream), ToPeer, 1<<30).Next()
	runtime.ReadMemStats(&after)
	if err != io.ErrUnexpectedEOF {
		t.Fatalf("a frame that ends early: %v", err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
		t.Errorf("%d bytes were allocated for 100,000 that came", grown)
	}
}

func TestTheEndOfAConnectionIsToldFromTheEndWithinAFrame(t *testing.T) {
	frame := AppendFrame(nil, Header{Kind: Result, ID: 1}, "", nil, make([]byte, 70_000))
	for _, cut := range []int{1, 31, 32, 33, 69_000, len(frame) - 1} {
		if _, err := NewReader(bytes.NewReader(frame[:cut]), ToPeer, 1<<24).Next(); err != io.ErrUnexpectedEOF {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
		if _, err := NewReader(bytes.NewReader(frame[:cut]), ToPeer, 100).Next(); cut > 32 && err != io.ErrUnexpectedEOF {
			t.Errorf("too large and cut after %d bytes: %v", cut, err)
		}
	}
	if _, err := NewReader(bytes.NewReader(nil), ToPeer, 1<<24).Next(); err != io.EOF {
		t.Errorf("no byte at all: %v", err)
	}
}

func TestRandomBytesAreRefusedOrCutShortButNeverCrash(t *testing.T) {
	frames := loadVectors(t).Frames
	for seed := int64(0); seed < 3000; seed++ {
		random := rand.New(rand.NewSource(seed))
		vector := frames[random.Intn(len(frames))]
		spoilt := append([]byte(nil), vector.Bytes...)
		for i := 0; i < 1+random.Intn(4); i++ {
			spoilt[random.Intn(len(spoilt))] = byte(random.Intn(256))
		}
		reader := NewReader(&cutReader{spoilt, random}, vector.direction(), 1<<20)
		for {
			frame, err := reader.Next()
			if err != nil {
				break
			}
			if !frame.IsTooLarge && len(frame.Name)+len(frame.Metadata)+len(frame.Payload) != int(frame.Size) {
				t.Fatalf("seed %d: the parts of %+v are not its body", seed, frame)
			}
		}
	}
}

func TestManyMetadataKeysAreCheckedInLittleTime(t *testing.T) {
	var metadata []byte
	for i := 0; len(metadata) < 60_000; i++ {
		key := strings.Repeat("k", 1+i%8) + string([]byte{'a' + byte(i%26), 'a' + byte(i/26%26), 'a' + byte(i/676%26)})
		metadata = AppendEntry(metadata, key, "")
	}
	if reason := checkMetadata(metadata, ToPeer); reason != "" {
		t.Fatal(reason)
	}
	_, _, rest, _ := NextEntry(metadata)
	first := metadata[:len(metadata)-len(rest)]
	if reason := checkMetadata(append(metadata, first...), ToPeer); !strings.Contains(reason, "twice") {
		t.Errorf("a key that stands there twice among many: %q", reason)
	}
}

func TestPatternsOfAName(t *testing.T) {
	var patterns []string
	PatternsOf("a.b.c", func(pattern string) { patterns = append(patterns, pattern) })
	if got := strings.Join(patterns, " "); got != "a.b.c a.b.* a.* *" {
		t.Errorf("a.b.c is subscribed to by %s", got)
	}
}

func TestReasonsHarmNoTerminal(t *testing.T) {
	name := "evil\x1b[31m" + strings.Repeat("x", 100)
	frame := AppendFrame(nil, Header{Kind: Event, ID: 1}, name, nil, nil)
	_, err := NewReader(bytes.NewReader(frame), ToPeer, 1<<20).Next()
	if err == nil || strings.ContainsRune(err.Error(), 0x1b) || len(err.Error()) > 200 {
		t.Errorf("the reason is %q", err)
	}
}
