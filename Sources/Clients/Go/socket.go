package hostcall

import (
	"os"
	"path/filepath"
	"strings"
)

const socketFileName = "hostcall.sock"

// DefaultSocketPath is where the daemon's socket is for whoever was not told otherwise: $HOSTCALL_SOCKET; else
// hostcall.sock in the first folder of $RUNTIME_DIRECTORY; else in $XDG_RUNTIME_DIR; else, for root, in /run/hostcall. A
// variable that is set to nothing counts as not set.
//
// Errors: [ErrCannotConnect] where no rule applies.
func DefaultSocketPath() (string, error) {
	return socketPath(os.Getenv, os.Geteuid())
}

func socketPath(environment func(string) string, userID int) (string, error) {
	if path := environment("HOSTCALL_SOCKET"); path != "" {
		return path, nil
	}
	for _, folder := range strings.Split(environment("RUNTIME_DIRECTORY"), ":") {
		if folder != "" {
			return filepath.Join(folder, socketFileName), nil
		}
	}
	if folder := environment("XDG_RUNTIME_DIR"); folder != "" {
		return filepath.Join(folder, socketFileName), nil
	}
	if userID == 0 {
		return filepath.Join("/run/hostcall", socketFileName), nil
	}
	return "", &Error{
		kind: ErrCannotConnect,
		Message: "cannot tell where the socket of hostcalld is: neither HOSTCALL_SOCKET, RUNTIME_DIRECTORY nor " +
			"XDG_RUNTIME_DIR is set (set HOSTCALL_SOCKET to its path)",
	}
}
