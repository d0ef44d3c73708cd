// Command pause is the first process of a pod, and of each of the cluster's machines: it buries the processes that
// nobody else waits for, and ends on SIGTERM or SIGINT. With the argument "stdin" it also ends with its standard
// input, so that a machine ends with the process that started it, whatever ended that.
package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	closed := make(chan struct{})
	if len(os.Args) > 1 && os.Args[1] == "stdin" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			close(closed)
		}()
	}
	for {
		select {
		case <-closed:
			return
		case received := <-signals:
			if received != syscall.SIGCHLD {
				return
			}
			bury()
		}
	}
}

// One signal may stand for several dead children.
func bury() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
