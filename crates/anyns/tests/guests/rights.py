# What the root of a user namespace may do to files of its own whose modes let nobody do it
# (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH), and that their modes are afterwards as they were.
import ctypes, os, shutil, socket, stat, subprocess, sys

libc = ctypes.CDLL(None, use_errno=True)

def show(name, act):
    try:
        value = act()
    except OSError as e:
        value = e.strerror
    print(name, value, flush=True)

def modes(at):
    all = {}
    for directory, names, files in os.walk(at):
        for name in names + files + ['.']:
            path = os.path.normpath(os.path.join(directory, name))
            st = os.lstat(path)
            all[os.path.relpath(path, at)] = oct(st.st_mode)
    return sorted(all.items())

def read(path):
    with open(path) as f:
        return f.read()

def write(path, text, how='w'):
    with open(path, how) as f:
        f.write(text)

def make(at):
    os.mkdir(at)
    for name, mode in [('none', 0), ('readonly', 0o444), ('writeonly', 0o222), ('runs', 0o711)]:
        write(f'{at}/{name}', '#!/bin/sh\necho ran\n')
        os.chmod(f'{at}/{name}', mode)
    for name, mode in [('closed', 0), ('fixed', 0o555), ('listed', 0o444), ('passed', 0o111)]:
        os.makedirs(f'{at}/{name}/in')
        write(f'{at}/{name}/file', 'text')
        os.symlink('file', f'{at}/{name}/link')
        os.chmod(f'{at}/{name}', mode)

def files(at):
    for name in ['none', 'readonly', 'writeonly']:
        path = f'{at}/{name}'
        show(f'{name} read', lambda: len(read(path)))
        show(f'{name} write', lambda: write(path, 'new'))
        show(f'{name} append', lambda: write(path, 'er', 'a'))
        show(f'{name} both', lambda: os.close(os.open(path, os.O_RDWR)))
        show(f'{name} truncate', lambda: os.truncate(path, 2))
        show(f'{name} may', lambda: [os.access(path, how) for how in (os.R_OK, os.W_OK, os.X_OK, os.F_OK)])
        show(f'{name} may, effective', lambda: [os.access(path, how, effective_ids=True) for how in (os.R_OK, os.W_OK, os.X_OK)])
        show(f'{name} run', lambda: subprocess.run([os.path.abspath(path)]).returncode)
        show(f'{name} times', lambda: os.utime(path))
        show(f'{name} set attribute', lambda: os.setxattr(path, 'user.a', b'x'))
        show(f'{name} attribute', lambda: os.getxattr(path, 'user.a'))
        show(f'{name} size', lambda: os.stat(path).st_size)
    show('runs', lambda: subprocess.run([os.path.abspath(f'{at}/runs')], capture_output=True).stdout)
    show('runs may', lambda: os.access(f'{at}/runs', os.X_OK))

def directories(at):
    for name in ['closed', 'fixed', 'listed', 'passed']:
        path = f'{at}/{name}'
        show(f'{name} list', lambda: sorted(os.listdir(path)))
        show(f'{name} may', lambda: [os.access(path, how) for how in (os.R_OK, os.W_OK, os.X_OK, os.R_OK | os.W_OK | os.X_OK)])
        show(f'{name} stat', lambda: os.stat(f'{path}/file').st_size)
        show(f'{name} read', lambda: read(f'{path}/file'))
        show(f'{name} link', lambda: [os.readlink(f'{path}/link'), read(f'{path}/link')])
        show(f'{name} dots', lambda: [os.path.samefile(f'{path}/in/..', path), os.path.samefile(f'{path}/.', path), os.path.samefile(f'{path}/..', at)])
        show(f'{name} make', lambda: write(f'{path}/new', 'x'))
        show(f'{name} exclusive', lambda: os.close(os.open(f'{path}/newer', os.O_CREAT | os.O_EXCL | os.O_RDWR, 0)))
        show(f'{name} directory', lambda: os.mkdir(f'{path}/sub'))
        show(f'{name} deep', lambda: os.makedirs(f'{path}/a/b/c'))
        show(f'{name} fifo', lambda: os.mkfifo(f'{path}/fifo'))
        show(f'{name} symlink', lambda: os.symlink('new', f'{path}/sym'))
        show(f'{name} hard link', lambda: os.link(f'{path}/file', f'{path}/hard'))
        show(f'{name} rename', lambda: os.rename(f'{path}/new', f'{path}/renamed'))
        show(f'{name} out', lambda: os.rename(f'{path}/renamed', f'{at}/{name}.out'))
        show(f'{name} directory out', lambda: os.rename(f'{path}/in', f'{at}/{name}.dir'))
        show(f'{name} temporary', lambda: os.close(os.open(path, os.O_TMPFILE | os.O_RDWR, 0o600)))
        def there():
            here = os.open('.', os.O_RDONLY)
            try:
                os.chdir(path)
                return [os.path.basename(os.getcwd()), sorted(os.listdir('.')), read('file')]
            finally:
                os.fchdir(here)
                os.close(here)
        show(f'{name} inside', there)
        def sockets():
            s = socket.socket(socket.AF_UNIX)
            s.bind(f'{path}/socket')
            s.listen()
            os.chmod(f'{path}/socket', 0)
            c = socket.socket(socket.AF_UNIX)
            c.connect(f'{path}/socket')
            c.send(b'x')
            return s.accept()[0].recv(1)
        show(f'{name} socket', sockets)
        def watch():
            fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
            if libc.inotify_add_watch(fd, path.encode(), 0x100) < 0:
                return os.strerror(ctypes.get_errno())
            write(f'{path}/watched', '')
            return len(os.read(fd, 4096)) > 0
        show(f'{name} watch', watch)
        show(f'{name} opened', lambda: [os.close(fd) for fd in [os.open('file', os.O_RDONLY, dir_fd=os.open(path, os.O_RDONLY | os.O_DIRECTORY))]])
        show(f'{name} by a path only', lambda: [os.close(fd) for fd in [os.open('file', os.O_RDONLY, dir_fd=os.open(path, os.O_PATH))]])
        show(f'{name} remove', lambda: os.unlink(f'{path}/hard'))
        show(f'{name} remove directory', lambda: os.rmdir(f'{path}/sub'))
        show(f'{name} run', lambda: [shutil.copy('/bin/true', f'{path}/true'), subprocess.run([os.path.abspath(f'{path}/true')]).returncode][1])
        show(f'{name} mode', lambda: oct(os.stat(path).st_mode))
        show(f'{name} change mode', lambda: os.chmod(f'{path}/file', 0o640))

at = sys.argv[1]
make(at)
before = modes(at)
if 'plain' in sys.argv:
    # Without the capabilities they are refused to whoever they are refused to.
    libc.prctl(24, 1, 0, 0, 0) and None
    libc.prctl(24, 2, 0, 0, 0)
    hdr = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)(*[0xfffffff9, 0xfffffff9, 0, 0xffffffff, 0xffffffff, 0])
    libc.capget(hdr, data)
    for i in (0, 1, 2):
        data[i] &= ~6
    show('capset', lambda: libc.capset(hdr, data))
if 'search' in sys.argv:
    hdr = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    libc.capget(hdr, data)
    for i in (0, 1, 2):
        data[i] &= ~2
    show('capset', lambda: libc.capset(hdr, data))
files(at)
directories(at)
print(modes(at))
shutil.rmtree(at, ignore_errors=True)
print(os.path.exists(at))
