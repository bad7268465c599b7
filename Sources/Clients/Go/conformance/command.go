package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"

	"hostcall"
)

// command is one line: a tag, a word, and values by their keys.
type command struct {
	line, tag, word string
	values          map[string]string
}

func parse(line string) command {
	words := strings.Split(line, " ")
	if len(words) < 2 {
		usage("this is not a command: " + line)
	}
	c := command{line: line, tag: words[0], word: words[1], values: map[string]string{}}
	for _, word := range words[2:] {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			usage("this is not key=value: " + word + " in: " + line)
		}
		c.values[key] = value
	}
	return c
}

func (c command) is(key string) bool { return c.values[key] == "yes" }

func (c command) has(key string) bool {
	_, ok := c.values[key]
	return ok
}

// number is a value that is a number; 0 where it is not there.
func (c command) number(key string) int {
	if !c.has(key) {
		return 0
	}
	n, err := strconv.Atoi(c.values[key])
	if err != nil {
		usage("this is not a number: " + key + " in: " + c.line)
	}
	return n
}

func (c command) bytes(key string) []byte {
	decoded, err := hex.DecodeString(c.values[key])
	if err != nil {
		usage("these are not bytes in hexadecimal: " + key + " in: " + c.line)
	}
	return decoded
}

func (c command) encoding() hostcall.Encoding { return hostcall.Encoding(c.number("encoding")) }

func (c command) metadata() hostcall.Metadata {
	if c.values["metadata"] == "" {
		return nil
	}
	metadata := hostcall.Metadata{}
	for _, entry := range strings.Split(c.values["metadata"], ",") {
		key, digits, _ := strings.Cut(entry, ":")
		value, err := hex.DecodeString(digits)
		if err != nil {
			usage("this is not key:hexadecimal: " + entry + " in: " + c.line)
		}
		metadata[key] = string(value)
	}
	return metadata
}

// status is a value that is a name of protocol section 6, or a number; OK where it is not there.
func (c command) status() hostcall.Status {
	text := c.values["status"]
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		return hostcall.Status(n)
	}
	for n := 0; n < 256; n++ {
		if hostcall.Status(n).String() == text || text == "" {
			return hostcall.Status(n)
		}
	}
	usage("no such status: " + c.line)
	return 0
}

// output is written a whole line at a time.
var output sync.Mutex

// report writes a line about a tag; values that are empty are left out.
func report(tag, word string, values ...any) {
	line := tag + " " + word
	for i := 0; i < len(values); i += 2 {
		if text := fmt.Sprint(values[i+1]); text != "" {
			line += fmt.Sprintf(" %s=%s", values[i], text)
		}
	}
	output.Lock()
	defer output.Unlock()
	os.Stdout.WriteString(line + "\n")
}

func (c command) report(word string, values ...any) { report(c.tag, word, values...) }

// finish reports that something without a result is done, or why not.
func (c command) finish(err error) {
	if err != nil {
		c.fail(err)
	} else {
		c.report("done")
	}
}

func (c command) fail(err error) { reportError(c.tag, err) }

// reportError reports an error, whole.
func reportError(tag string, err error) {
	var failure *hostcall.Error
	if !errors.As(err, &failure) {
		usage("an error of another kind: " + err.Error())
	}
	code := "status"
	switch {
	case errors.Is(err, hostcall.ErrCannotConnect):
		code = "cannot-connect"
	case errors.Is(err, hostcall.ErrConnectionLost):
		code = "connection-lost"
	case errors.Is(err, hostcall.ErrClosed):
		code = "closed"
	case failure.Status == hostcall.InvalidArgument && failure.Origin == hostcall.FromClient:
		code = "invalid-argument"
	}
	report(tag, "error", "status", statusText(failure.Status, code), "origin", failure.Origin, "code", code,
		"payload", hex.EncodeToString(failure.Payload), "encoding", encodingText(failure.Encoding),
		"metadata", metadataText(failure.Metadata), "correlation", numberText(failure.CorrelationID),
		"message", hex.EncodeToString([]byte(err.Error())))
}

func statusText(status hostcall.Status, code string) string {
	if status == hostcall.OK || code == "invalid-argument" {
		return ""
	}
	if status.IsApplicationDefined() {
		return strconv.Itoa(int(status))
	}
	return status.String()
}

func encodingText(encoding hostcall.Encoding) string { return numberText(uint64(encoding)) }

// numberText is a number; nothing for 0.
func numberText(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func metadataText(metadata hostcall.Metadata) string {
	var entries []string
	for key, value := range metadata {
		entries = append(entries, key+":"+hex.EncodeToString([]byte(value)))
	}
	sort.Strings(entries)
	return strings.Join(entries, ",")
}
