package wire

import "strings"

const (
	longestNameBytes = 255
	// ReservedNamePrefix begins the names of the daemon's own functions and events (section 7).
	ReservedNamePrefix = "hostcall."
)

// bytesOrString lets rules look at bytes of a frame without making a string of them.
type bytesOrString interface{ ~[]byte | ~string }

// IsName says whether this is a name: 1 to 255 bytes, segments of A-Z a-z 0-9 _ - joined by single dots (section 2).
func IsName[T bytesOrString](name T) bool {
	if len(name) == 0 || len(name) > longestNameBytes {
		return false
	}
	afterDot := true
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			if afterDot {
				return false
			}
			afterDot = true
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
			afterDot = false
		default:
			return false
		}
	}
	return !afterDot
}

// IsPattern says whether this is a pattern: a name followed by .*, or * alone.
func IsPattern[T bytesOrString](pattern T) bool {
	n := len(pattern)
	if n == 0 || n > longestNameBytes || pattern[n-1] != '*' {
		return false
	}
	if n == 1 {
		return true
	}
	return n >= 3 && pattern[n-2] == '.' && IsName(pattern[:n-2])
}

// PatternsOf calls visit with everything that an event of this name may have been subscribed to by: the name itself, the
// patterns above it from the longest on, and *.
func PatternsOf(name string, visit func(pattern string)) {
	visit(name)
	for dot := strings.LastIndexByte(name, '.'); dot >= 0; dot = strings.LastIndexByte(name[:dot], '.') {
		visit(name[:dot] + ".*")
	}
	visit("*")
}
