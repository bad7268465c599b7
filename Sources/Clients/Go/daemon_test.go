package hostcall_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"hostcall"
)

// daemonVariable names the hostcalld that these tests talk to.
const daemonVariable = "HOSTCALLD"

// realDaemon is a hostcalld of a test's own.
type realDaemon struct {
	t         *testing.T
	path      string
	arguments []string
	process   *exec.Cmd
}

// startDaemon starts a daemon, which ends with the test; configuration is what its file says, if anything.
func startDaemon(t *testing.T, configuration string) *realDaemon {
	t.Helper()
	checkGoroutines(t)
	folder := shortFolder(t)
	d := &realDaemon{t: t, path: filepath.Join(folder, "hostcall.sock")}
	d.arguments = []string{"--socket", d.path}
	if configuration != "" {
		file := filepath.Join(folder, "hostcalld.toml")
		if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
			t.Fatal(err)
		}
		d.arguments = append(d.arguments, "--config", file)
	}
	d.start()
	t.Cleanup(d.kill)
	return d
}

func (d *realDaemon) start() {
	d.t.Helper()
	process, err := launch(d.path, d.arguments...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.process = process
}

// launch starts the daemon that HOSTCALLD names, and waits until it takes connections.
func launch(path string, arguments ...string) (*exec.Cmd, error) {
	program := os.Getenv(daemonVariable)
	if program == "" {
		return nil, fmt.Errorf("these tests need a daemon: set %s to the path of hostcalld", daemonVariable)
	}
	process := exec.Command(program, arguments...)
	// It shall not outlive a test that is killed.
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		connection, err := net.Dial("unix", path)
		if err == nil {
			connection.Close()
			return process, nil
		}
		if time.Now().After(end) {
			process.Process.Kill()
			process.Wait()
			return nil, fmt.Errorf("%s does not take connections at %s: %v", program, path, err)
		}
	}
}

func (d *realDaemon) kill() {
	if d.process != nil {
		d.process.Process.Kill()
		d.process.Wait()
		d.process = nil
	}
}

// connect connects a client, which is closed with the test.
func (d *realDaemon) connect(options ...hostcall.ConnectOption) *hostcall.Client {
	d.t.Helper()
	client, err := hostcall.Connect(
		context.Background(), append([]hostcall.ConnectOption{hostcall.SocketPath(d.path)}, options...)...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { client.Close() })
	return client
}

// serve registers a function.
func (d *realDaemon) serve(
	worker *hostcall.Client, name string, handler hostcall.Handler, options ...hostcall.HandleOption,
) *hostcall.Registration {
	d.t.Helper()
	registration, err := worker.Handle(name, handler, options...)
	if err != nil {
		d.t.Fatal(err)
	}
	return registration
}

// TestMain starts a daemon for the examples, which look for it in the default place.
func TestMain(m *testing.M) {
	os.Exit(runWithDaemon(m))
}

func runWithDaemon(m *testing.M) int {
	folder, err := os.MkdirTemp("", "hostcall")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "hostcall.sock")
	os.Setenv("HOSTCALL_SOCKET", path)
	process, err := launch(path, "--socket", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		// Those that need none run all the same; an example that fails ends the program, and would leave the folder.
		os.RemoveAll(folder)
		m.Run()
		return 1
	}
	defer func() {
		process.Process.Kill()
		process.Wait()
	}()
	return m.Run()
}
