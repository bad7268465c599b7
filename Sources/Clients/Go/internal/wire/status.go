package wire

import "fmt"

// Statuses that the rules of frames or this library's connection speak of (section 6).
const (
	StatusOK       uint8 = 0
	StatusVersion  uint8 = 18
	StatusProtocol uint8 = 17
	statusUnknown  uint8 = 99
	firstOwnStatus uint8 = 128
)

var statusNames = map[uint8]string{
	0: "OK", 1: "NULL_POINTER", 2: "BUFFER_TOO_SMALL", 3: "INVALID_UTF8", 4: "SERIALIZATION", 5: "PANIC", 6: "TIMEOUT",
	7: "NOT_FOUND", 8: "LOCK_POISONED", 10: "FAILED", 11: "CANCELLED", 12: "WORKER_LOST", 13: "UNAVAILABLE",
	14: "OVERLOADED", 15: "DENIED", 16: "TOO_LARGE", 17: "PROTOCOL", 18: "VERSION", 19: "SHUTTING_DOWN",
	20: "ALREADY_REGISTERED", 21: "INVALID_ARGUMENT", 22: "UNKNOWN_CALL", 23: "LATE", 24: "DUPLICATE",
	25: "CALLER_LOST", 99: "UNKNOWN",
}

// StatusName is the name of section 6, or STATUS_ and the number where there is none.
func StatusName(status uint8) string {
	if name, ok := statusNames[status]; ok {
		return name
	}
	return fmt.Sprintf("STATUS_%d", status)
}

// StatusIsAssigned says whether section 6 gives the status a meaning, or leaves it to the application.
func StatusIsAssigned(status uint8) bool {
	return status >= firstOwnStatus || status == statusUnknown || status <= 25 && status != 9
}

// StatusMayComplete says whether a worker may end a call with the status (section 4, Completing).
func StatusMayComplete(status uint8) bool {
	return status <= 11 || status == statusUnknown || status >= firstOwnStatus
}

// EncodingIsAssigned says whether the protocol allows the encoding; 3 to 127 are reserved.
func EncodingIsAssigned(encoding uint8) bool {
	return encoding <= 2 || encoding >= 128
}
