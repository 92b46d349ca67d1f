#!/usr/bin/perl
# systemctl and systemd-run on a node of the lab: hands the arguments and the environment to the lab's systemd and repeats its
# answer. In Perl, which every Debian has, because it starts in a tenth of the time of Node or Python.
use strict;
use warnings;
use Socket;

my ($program) = $0 =~ m{([^/]+)$};
my $path = $ENV{PERCONA_LAB_SYSTEMD} or fail("PERCONA_LAB_SYSTEMD is not set: this program is for the nodes of a lab");

sub fail {
    print STDERR "$program: $_[0]\n";
    exit 1;
}

socket(my $socket, PF_UNIX, SOCK_STREAM, 0) or fail("no socket: $!");
connect($socket, sockaddr_un($path)) or fail("the lab's systemd does not answer at $path: $!");
binmode $_ for ($socket, *STDOUT, *STDERR);

my @environment = map { "$_=$ENV{$_}" } keys %ENV;
my $request = join "", map { "$_\0" } (1 + @ARGV, $program, @ARGV, @environment);
while (length $request) {
    my $sent = syswrite $socket, $request or fail("the lab's systemd hung up: $!");
    substr($request, 0, $sent) = "";
}
shutdown $socket, 1;

# The answer: "EXITCODE LENGTH\n", so many bytes for standard output, the rest for standard error.
local $/;
my $answer = <$socket>;
defined $answer && $answer =~ /^(\d+) (\d+)\n/ or fail("the lab's systemd gave no answer");
my $text = substr $answer, $+[0];
print STDOUT substr($text, 0, $2);
print STDERR substr($text, $2);
exit $1;
