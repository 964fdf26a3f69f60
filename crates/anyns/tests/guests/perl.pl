# A scripted session of perl: fork, pipes, signals, sockets, stat, ids.
use strict; use warnings; $| = 1;
use POSIX qw(:sys_wait_h uname setsid); use Socket; use Fcntl qw(:flock :mode);
my @kids;
for my $i (1 .. 20) { my $pid = fork // die; if (!$pid) { POSIX::_exit($i) } push @kids, $pid }
my $sum = 0; for (@kids) { waitpid $_, 0; $sum += $? >> 8 } print "1 children $sum\n";
pipe my $r, my $w; if (!fork) { close $r; print $w "x" x 100000; close $w; POSIX::_exit(0) }
close $w; { local $/; my $all = <$r>; print "2 pipe ", length $all, "\n" } wait;
local $SIG{ALRM} = sub { print "3 alarm\n" }; alarm 1; select undef, undef, undef, 5;
local $SIG{USR1} = sub { print "4 usr1\n" }; kill USR1 => $$;
local $SIG{CHLD} = sub { while (waitpid(-1, WNOHANG) > 0) { } print "5 chld\n" };
if (!fork) { POSIX::_exit(0) } select undef, undef, undef, 5; $SIG{CHLD} = 'DEFAULT';
socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, 0; syswrite $a, "hello"; sysread $b, my $got, 9;
print "6 socketpair $got\n";
socket my $server, PF_INET, SOCK_STREAM, 0; bind $server, sockaddr_in(0, INADDR_LOOPBACK);
listen $server, 1; my ($port) = sockaddr_in(getsockname $server);
if (!fork) { socket my $c, PF_INET, SOCK_STREAM, 0; connect $c, sockaddr_in($port, INADDR_LOOPBACK);
    syswrite $c, "over tcp"; POSIX::_exit(0) }
accept my $conn, $server; sysread $conn, $got, 99; wait; print "7 $got\n";
open my $f, '>', 'file'; flock $f, LOCK_EX; print $f "data"; close $f; chmod 0640, 'file';
my @s = stat 'file'; printf "8 %o %d %d %d\n", S_IMODE($s[2]), @s[4, 5, 7];
rename 'file', 'other'; link 'other', 'again'; symlink 'again', 'soft'; printf "9 %d %s\n", (stat 'other')[3], readlink 'soft';
print "10 $< $> $( $)\n"; $> = 0; print "11 $> $!\n";
print "12 ", (chown(0, 0, 'other') || $!), "\n";
print "13 ", join(' ', (uname)[0, 1]), "\n";
print "14 ", scalar(`echo from a shell`); print "15 ", system('sh', '-c', 'exit 7') >> 8, "\n";
system { '/nonexistent' } 'x'; print "16 $?\n";
my $pid; kill KILL => ($pid = fork // die) || do { sleep 100; 0 }; waitpid $pid, 0; print "17 ", $? & 127, "\n";
print "18 ", (kill(0, 1) || $!), "\n"; opendir my $d, '.'; print "19 ", join(' ', sort readdir $d), "\n";
my $t = fork // die; if (!$t) { setsid; exec 'sh', '-c', 'exit 5' } waitpid $t, 0; print "20 ", $? >> 8, "\n";
print "21 ", (umask), " ", getpgrp == getpgrp(0) ? 'same' : 'other', "\n"; exec 'perl', '-e', 'print "22 replaced\n"';
