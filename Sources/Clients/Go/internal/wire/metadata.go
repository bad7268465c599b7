package wire

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

const (
	// LongestMetadataBytes is what all metadata of a frame may have on the wire.
	LongestMetadataBytes = 65535
	// LongestKeyBytes is the longest metadata key.
	LongestKeyBytes = 64
	// ReservedKeyPrefix begins the keys that the daemon alone writes.
	ReservedKeyPrefix = "hostcall-"
	// fewKeys is up to how many keys are compared with each other; more go into a set, so that a frame full of tiny
	// entries cannot cost the square of its size.
	fewKeys = 16
)

// IsKey says whether this is a metadata key: 1 to 64 bytes of a-z 0-9 - (section 2).
func IsKey[T bytesOrString](key T) bool {
	if len(key) == 0 || len(key) > LongestKeyBytes {
		return false
	}
	for i := 0; i < len(key); i++ {
		c := key[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// EntryBytes is the size of one entry on the wire.
func EntryBytes(key, value string) int {
	return 3 + len(key) + len(value)
}

// AppendEntry appends one entry; key and value must keep the rules.
func AppendEntry(b []byte, key, value string) []byte {
	b = append(b, byte(len(key)))
	b = append(b, key...)
	b = append(b, byte(len(value)), byte(len(value)>>8))
	return append(b, value...)
}

// NextEntry splits the first entry off metadata; ok is false where it does not fit into the bytes.
func NextEntry(metadata []byte) (key, value, rest []byte, ok bool) {
	if len(metadata) == 0 {
		return nil, nil, nil, false
	}
	keyEnd := 1 + int(metadata[0])
	if keyEnd+2 > len(metadata) {
		return nil, nil, nil, false
	}
	valueStart := keyEnd + 2
	valueEnd := valueStart + (int(metadata[keyEnd]) | int(metadata[keyEnd+1])<<8)
	if valueEnd > len(metadata) {
		return nil, nil, nil, false
	}
	return metadata[1:keyEnd], metadata[valueStart:valueEnd], metadata[valueEnd:], true
}

// checkMetadata gives back what is wrong with the metadata, empty where nothing is.
func checkMetadata(metadata []byte, direction Direction) string {
	keys := keySet{metadata: metadata}
	for rest := metadata; len(rest) > 0; {
		key, value, after, ok := NextEntry(rest)
		if !ok {
			return "the metadata ends in the middle of an entry"
		}
		rest = after
		if !IsKey(key) {
			return "a metadata key is not 1 to 64 of the characters a-z 0-9 -"
		}
		if direction == ToDaemon && bytes.HasPrefix(key, []byte(ReservedKeyPrefix)) {
			return fmt.Sprintf("the metadata key %s begins with hostcall-, which only the daemon writes", key)
		}
		if !keys.insert(key) {
			return fmt.Sprintf("the metadata key %s stands there twice", key)
		}
		if bytes.IndexByte(value, 0) >= 0 || !utf8.Valid(value) {
			return fmt.Sprintf("the metadata value of %s is not UTF-8 without NUL", key)
		}
	}
	return ""
}

// keySet is the keys of a frame's metadata, to find one that stands there twice: a few are found again by stepping
// through the metadata once more, without an allocation.
type keySet struct {
	metadata []byte
	count    int
	many     map[string]struct{}
}

// insert adds the next entry's key; false if an entry before it has the same.
func (s *keySet) insert(key []byte) bool {
	if s.count < fewKeys {
		rest := s.metadata
		for i := 0; i < s.count; i++ {
			var earlier []byte
			earlier, _, rest, _ = NextEntry(rest)
			if bytes.Equal(earlier, key) {
				return false
			}
		}
		s.count++
		return true
	}
	if s.many == nil {
		s.many = make(map[string]struct{})
		rest := s.metadata
		for i := 0; i < s.count; i++ {
			var earlier []byte
			earlier, _, rest, _ = NextEntry(rest)
			s.many[string(earlier)] = struct{}{}
		}
	}
	before := len(s.many)
	s.many[string(key)] = struct{}{}
	return len(s.many) > before
}
