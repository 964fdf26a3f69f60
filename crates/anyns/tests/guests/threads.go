// Goroutines that spawn children, and are interrupted by the runtime's own signals meanwhile.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
)

func main() {
	var group sync.WaitGroup
	var good atomic.Int64
	for i := 0; i < 50; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			out, err := exec.Command("sh", "-c", "echo $PPID").Output()
			if err == nil && string(out) == fmt.Sprintln(os.Getpid()) {
				good.Add(1)
			}
			for n, sum := 0, 0; n < 20_000_000; n++ {
				sum += n
			}
		}()
	}
	group.Wait()
	process, err := os.FindProcess(os.Getppid())
	fmt.Println(good.Load(), os.Getppid() < 2, process != nil, err)
}
