# Operations that signals interrupt, and whose callers are killed, are done exactly if the caller
# heard of it. Prints what must hold, true or false.
use strict;
use warnings;
use IPC::SysV qw(IPC_PRIVATE IPC_RMID IPC_NOWAIT SEM_UNDO GETVAL GETNCNT);
use Time::HiRes qw(sleep time ualarm);
use POSIX qw(_exit);
my ($children, $seconds) = (6, $ARGV[0] // 1);
my $sem = semget(IPC_PRIVATE, 2, 0600) // die "semget: $!";
my $queue = msgget(IPC_PRIVATE, 0600) // die "msgget: $!";
my @readers;
for my $n (1 .. $children) {
    pipe(my $read, my $write);
    if (!(my $pid = fork // die "fork: $!")) {
        # From here on: on a busy machine it may begin late.
        my $end = time + $seconds;
        my ($taken, $interrupted, $given, $received) = (0, 0, 0, 0);
        $SIG{ALRM} = sub { };
        srand $n;
        my $seen = sub { $interrupted && ($given || $n % 2 == 0) };
        while (time < $end || !$seen->() && time < $end + 30) {
            ualarm(300 + int rand 3000, 5000);
            if (semop($sem, pack('s!3', 0, -1, 0))) { $taken++ } elsif ($!{EINTR}) { $interrupted++ } else { die "semop: $!" }
            if ($n % 2) { $given++ if msgsnd($queue, pack('l! a*', $n, 'text'), 0) }
            else { my $m; $received++ if msgrcv($queue, $m, 99, 0, 0) }
            # None of these waits, but any stopped call may be interrupted.
            for my $add (1, -1) {
                1 until semop($sem, pack('s!3', 1, $add, SEM_UNDO)) || !$!{EINTR};
            }
        }
        ualarm(0);
        print $write "$taken $interrupted $given $received\n";
        close $write;
        _exit(0);
    }
    close $write;
    push @readers, $read;
}
# Some that are killed at any moment, with an undo.
my $posted = 0;
my $killed = 0;
my $end = time + $seconds;
while (time < $end + 0.3) {
    $posted++ if semop($sem, pack('s!3', 0, 1, 0));
    if (!(my $pid = fork // die "fork: $!")) {
        semop($sem, pack('s!3', 1, 5, SEM_UNDO));
        semop($sem, pack('s!3', 1, -20, SEM_UNDO));
        _exit(0);
    }
    else { sleep 0.002; kill KILL => $pid; waitpid $pid, 0; $killed++ }
}
my ($taken, $interrupted, $given, $received) = (0, 0, 0, 0);
for my $read (@readers) {
    my ($t, $i, $g, $r) = split ' ', <$read>;
    $taken += $t; $interrupted += $i; $given += $g; $received += $r;
}
1 while wait != -1;
my $left = 0;
$left++ while msgrcv($queue, my $m, 99, 0, IPC_NOWAIT);
print 'taken and left are what was posted: ', $posted == $taken + semctl($sem, 0, GETVAL, 0) ? 1 : 0, "\n";
print 'sent is what was received and left: ', $given == $received + $left ? 1 : 0, "\n";
print 'all is undone: ', semctl($sem, 1, GETVAL, 0) == 0 ? 1 : 0, ', nobody waits: ',
    semctl($sem, 0, GETNCNT, 0) == 0 && semctl($sem, 1, GETNCNT, 0) == 0 ? 1 : 0, "\n";
my @some = map { $_ ? 1 : 0 } $interrupted, $taken, $given, $killed;
print "some were interrupted: $some[0], taken: $some[1], sent: $some[2], killed: $some[3]\n";
semctl($sem, 0, IPC_RMID, 0);
msgctl($queue, IPC_RMID, 0);
