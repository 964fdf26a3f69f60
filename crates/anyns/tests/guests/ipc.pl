# Semaphores and messages of a process and its children: who waits, what ends the waiting. Prints
# nothing that differs between two runs.
use strict;
use warnings;
use IPC::SysV qw(IPC_PRIVATE IPC_CREAT IPC_RMID IPC_NOWAIT SEM_UNDO SETVAL SETALL GETVAL GETALL
    GETNCNT GETZCNT GETPID);
use POSIX qw(WUNTRACED _exit);
use Time::HiRes qw(sleep time alarm);
$| = 1;

my $sem = semget(IPC_PRIVATE, 3, 0600) // die "semget: $!";
my $queue = msgget(IPC_PRIVATE, 0600) // die "msgget: $!";

sub value { semctl($sem, $_[0], GETVAL, 0) + 0 }
sub op { semop($sem, pack('s!*', @_)) ? 'done' : "$!" }

# A child that does something; what it says comes when it is waited for.
sub child(&) {
    my ($body) = @_;
    pipe(my $read, my $write);
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        close $read;
        select $write;
        $| = 1;
        $body->();
        _exit(0);
    }
    close $write;
    return ($pid, $read);
}

sub said {
    my ($what, $pid, $read) = @_;
    local $/;
    my $text = <$read> // '';
    waitpid $pid, 0;
    print "$what: ", join(', ', split /\n/, $text), ($? ? " (status $?)" : ''), "\n";
}

# Until somebody waits for it, or nobody.
sub waiters {
    my ($number, $command, $count) = @_;
    for (1 .. 2000) {
        my $now = semctl($sem, $number, $command, 0) + 0;
        return if $now == $count;
        sleep 0.005;
    }
    print "not $count waiters\n";
}

# One who waits is woken by an operation, and has done his own by then.
my @one = child { print op(0, -2, 0) };
waiters(0, GETNCNT, 1);
print 'one: ', op(0, 1, 0), "\n";
waiters(0, GETNCNT, 1);
print 'two: ', op(0, 1, 0), ', ', value(0), "\n";
said('woken', @one);
print 'last: ', (semctl($sem, 0, GETPID, 0) == $one[0] ? 'the child' : 'another'), "\n";

# Several, in the order in which they came; and one who waits for zero.
op(1, 1, 0);
my @zero = child { print op(1, 0, 0) };
waiters(1, GETZCNT, 1);
my @all = map { my $n = $_; my @c = child { print op(0, -1, 0), " $n" }; waiters(0, GETNCNT, $n); [@c] } 1 .. 3;
op(0, 1, 0);
said('first', @{ $all[0] });
op(0, 2, 0);
said('second', @{ $all[1] });
said('third', @{ $all[2] });
op(1, -1, 0);
said('zero', @zero);

# Setting a value wakes, too.
my @set = child { print op(2, -5, 0) };
waiters(2, GETNCNT, 1);
semctl($sem, 0, SETALL, pack('s!3', 0, 0, 7));
said('set', @set);
print 'values: ', join(',', unpack('s!*', do { my $all = ''; semctl($sem, 0, GETALL, $all); $all })), "\n";

# Signals: a handler ends it, whatever its flags; what is ignored does not.
for my $how (0, POSIX::SA_RESTART()) {
    my @signalled = child {
        my $action = POSIX::SigAction->new(sub { print "handler\n" }, POSIX::SigSet->new, $how);
        POSIX::sigaction(POSIX::SIGUSR1(), $action);
        print op(0, -1, 0);
    };
    waiters(0, GETNCNT, 1);
    kill USR1 => $signalled[0];
    said("handled $how", @signalled);
}
my @ignores = child { $SIG{USR2} = 'IGNORE'; print op(0, -1, 0) };
waiters(0, GETNCNT, 1);
kill $_ => $ignores[0] for qw(USR2 CHLD WINCH URG);
sleep 0.05;
waiters(0, GETNCNT, 1);
op(0, 1, 0);
said('ignored', @ignores);
my @blocks = child {
    POSIX::sigprocmask(POSIX::SIG_BLOCK(), POSIX::SigSet->new(POSIX::SIGUSR1()));
    print op(0, -1, 0);
};
waiters(0, GETNCNT, 1);
kill USR1 => $blocks[0];
sleep 0.02;
op(0, 1, 0);
said('blocked', @blocks);

# Killed while it waits; then nobody does.
my @killed = child { print op(0, -1, 0) };
waiters(0, GETNCNT, 1);
kill KILL => $killed[0];
said('killed', @killed);
waiters(0, GETNCNT, 0);

# What is undone at an exit is there for those who wait, and for the parent at once.
semctl($sem, 0, SETVAL, 5);
my @undoes = child { print op(0, -3, SEM_UNDO), ' ', value(0) };
said('undoes', @undoes);
print 'after: ', value(0), "\n";
my @holds = child { print op(0, -5, SEM_UNDO); sleep 0.3 };
for (1 .. 1000) { last if value(0) == 0; sleep 0.005 }
print 'waited for an undo: ', op(0, -5, 0), ', ', value(0), "\n";
said('held', @holds);

# semtimedop, by number: nobody comes.
my ($take, $soon, $now, $from) = (pack('s!3', 0, -1, 0), pack('q2', 0, 200_000_000), pack('q2', 0, 0), time);
my $no = syscall(220, $sem, $take, 1, $soon);
print "timeout: $no $!, ", (time - $from >= 0.2 ? 'late enough' : 'early'), "\n";
print 'no time: ', syscall(220, $sem, $take, 1, $now), " $!\n";

# Messages: by type, in order, and after a stop.
my @receives = child { msgrcv($queue, my $in, 100, 7, 0) or print "$!"; print join ' ', unpack('l! a*', $in) };
sleep 0.1;
kill STOP => $receives[0];
waitpid $receives[0], WUNTRACED;
kill CONT => $receives[0];
msgsnd($queue, pack('l! a*', $_->[0], $_->[1]), 0) for [3, 'three'], [7, 'seven'];
said('received', @receives);
local $SIG{ALRM} = sub { print "alarm\n" };
alarm 0.2;
print 'interrupted: ', (msgrcv($queue, my $in, 100, 9, 0) ? 'no' : "$!"), "\n";
my ($big, $count) = ('x' x 8000, 0);
$count++ while msgsnd($queue, pack('l! a*', 1, $big), IPC_NOWAIT);
print "full after $count: $!\n";
my @sends = child { print msgsnd($queue, pack('l! a*', 5, 'late'), 0) ? 'sent' : "$!" };
my @long = child { print msgsnd($queue, pack('l! a*', 6, $big), 0) ? 'sent' : "$!" };
sleep 0.1;
msgrcv($queue, $in, 9000, 1, 0);
said('sends', @sends);
msgrcv($queue, $in, 9000, 1, 0);
said('long', @long);
my @small = child { print msgrcv($queue, my $got, 2, 8, 0) ? 'received' : "$!" };
sleep 0.1;
msgsnd($queue, pack('l! a*', 8, 'too long'), 0);
said('no room', @small);

# Removed while somebody waits.
my @left = (child { print op(0, -1, 0) });
waiters(0, GETNCNT, 1);
my @stays = child { print msgrcv($queue, my $got, 100, 99, 0) ? 'received' : "$!" };
sleep 0.1;
semctl($sem, 0, IPC_RMID, 0);
msgctl($queue, IPC_RMID, 0);
said('set removed', @left);
said('queue removed', @stays);

# A segment that two share.
my $shm = shmget(IPC_PRIVATE, 10000, 0600) // die "shmget: $!";
shmwrite($shm, 'written by the parent', 0, 21);
my @reads = child { shmread($shm, my $text, 0, 21); print $text; shmwrite($shm, 'by the child', 5000, 12) };
said('shared', @reads);
shmread($shm, my $text, 5000, 12);
print "$text\n";
shmctl($shm, IPC_RMID, 0);
print shmread($shm, $text, 0, 1) ? 'still there' : "$!", "\n";
