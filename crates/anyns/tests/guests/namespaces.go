// A program with threads of its own making: goroutines on locked threads change their namespaces,
// and children are cloned straight into new ones.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"
)

func name() string {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, c := range u.Nodename {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}

func inner() {
	fmt.Println("inner", os.Getuid(), os.Getgid(), name())
	m, _ := os.ReadFile("/proc/self/uid_map")
	fmt.Print(string(m))
	if err := syscall.Sethostname([]byte("inner")); err != nil {
		fmt.Println("sethostname", err)
	}
	var wg sync.WaitGroup
	lines := make([]string, 16)
	for i := range lines {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			// Never unlocked: the thread ends with the goroutine.
			runtime.LockOSThread()
			if err := syscall.Unshare(syscall.CLONE_NEWUTS); err != nil {
				lines[i] = err.Error()
				return
			}
			own := fmt.Sprintf("thread%02d", i)
			if err := syscall.Sethostname([]byte(own)); err != nil {
				lines[i] = err.Error()
				return
			}
			out, err := exec.Command("uname", "-n").Output()
			lines[i] = fmt.Sprint(name(), " ", strings.TrimSpace(string(out)), " ", err)
		}(i)
	}
	wg.Wait()
	sort.Strings(lines)
	fmt.Println(strings.Join(lines, "\n"))
	done := make(chan string)
	go func() { runtime.LockOSThread(); done <- name() }()
	fmt.Println("elsewhere", <-done)
	fmt.Println("many", strings.Count(run("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do uname -n; done"), "inner"))
}

func run(words ...string) string {
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return string(out)
}

func main() {
	if len(os.Args) > 1 {
		inner()
		return
	}
	fmt.Println("outer", os.Getuid(), os.Getgid(), name())
	fmt.Println("unshare:", syscall.Unshare(syscall.CLONE_NEWUTS), syscall.Unshare(syscall.CLONE_NEWUSER))
	cmd := exec.Command("/proc/self/exe", "inner")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	fmt.Println("clone:", cmd.Run())
	bad := exec.Command("/proc/self/exe", "inner")
	bad.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 9}},
	}
	fmt.Println("a map that is not ours:", bad.Run() != nil)
	fmt.Println("outer again", os.Getuid(), name())
}
