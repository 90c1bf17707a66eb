/*
 * The limit that the benchmark compares with: one thread, one epoll, and nothing else that a server needs, no
 * timeouts, no limits and hardly any parsing. Never use it for anything but measuring.
 *
 *     raw PORT DOCROOT canned|file|sendfile
 *
 * `canned` answers everything with the same 1 KiB, `file` opens, reads and closes the file at each request,
 * `sendfile` sends the head and then the file.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static const char HEAD[] =
	"HTTP/1.1 200 OK\r\n"
	"Connection: Keep-Alive\r\n"
	"Keep-Alive: timeout=20\r\n"
	"ETag: \"1c5f-400-67406f2a\"\r\n"
	"Last-Modified: Fri, 22 Nov 2024 11:50:02 GMT\r\n"
	"Date: Fri, 22 Nov 2024 11:52:42 GMT\r\n"
	"Content-Type: application/octet-stream\r\n"
	"Content-Length: %ld\r\n"
	"\r\n";

static enum { CANNED, FROM_FILE, SENDFILE } mode;
static const char *docroot;
static char answer[4096];
static int answer_length;

/* Sends all of FILE, and waits as long as the socket is full: nobody else is served meanwhile. */
static int send_file(int socket, int file, off_t size)
{
	off_t at = 0;

	while (at < size) {
		ssize_t sent = sendfile(socket, file, &at, size - at);
		if (sent > 0)
			continue;
		if (sent == 0 || errno != EAGAIN)
			return -1;
		struct pollfd writable = { .fd = socket, .events = POLLOUT };
		poll(&writable, 1, -1);
	}
	return 0;
}

/* Answers a request whose head is all of the LENGTH bytes at HEAD. */
static int respond(int socket, char *head, int length)
{
	static char out[65536];
	char path[4096];
	char *begin, *end;
	struct stat meta;
	int file, written, failed = 0;

	if (mode == CANNED)
		return write(socket, answer, answer_length) == answer_length ? 0 : -1;
	begin = memchr(head, ' ', length);
	end = begin ? memchr(begin + 1, ' ', head + length - begin - 1) : NULL;
	if (!end)
		return -1;
	snprintf(path, sizeof path, "%s%.*s", docroot, (int)(end - begin - 1), begin + 1);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -1;
	failed = fstat(file, &meta);
	written = sprintf(out, HEAD, (long)meta.st_size);
	if (mode == FROM_FILE && meta.st_size < 60000) {
		int got = read(file, out + written, sizeof out - written);
		close(file);
		if (failed || got < 0)
			return -1;
		return write(socket, out, written + got) == written + got ? 0 : -1;
	}
	failed = failed || send(socket, out, written, MSG_MORE) != written || send_file(socket, file, meta.st_size);
	close(file);
	return failed ? -1 : 0;
}

static void serve(int socket)
{
	static char in[8192];
	int got = read(socket, in, sizeof in);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0 || !memmem(in, got, "\r\n\r\n", 4) || respond(socket, in, got) ||
	    memmem(in, got, "ion: close", 10))
		close(socket);
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener, poller, one = 1;

	if (argc != 4) {
		fprintf(stderr, "Usage: raw PORT DOCROOT canned|file|sendfile\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	address.sin_port = htons(atoi(argv[1]));
	docroot = argv[2];
	mode = !strcmp(argv[3], "file") ? FROM_FILE : !strcmp(argv[3], "sendfile") ? SENDFILE : CANNED;
	answer_length = sprintf(answer, HEAD, 1024L);
	memset(answer + answer_length, 'x', 1024);
	answer_length += 1024;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 512)) {
		perror("raw: bind");
		return 1;
	}
	poller = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(poller, EPOLL_CTL_ADD, listener,
		  &(struct epoll_event){ .events = EPOLLIN, .data.fd = listener });
	for (;;) {
		int count = epoll_wait(poller, events, 64, -1);
		for (int i = 0; i < count; i++) {
			int socket = events[i].data.fd;
			if (socket != listener) {
				serve(socket);
				continue;
			}
			socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (socket >= 0)
				epoll_ctl(poller, EPOLL_CTL_ADD, socket,
					  &(struct epoll_event){ .events = EPOLLIN, .data.fd = socket });
		}
	}
}
