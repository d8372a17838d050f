// attach is a program without Go that shares memory with others: it speaks the
// attach protocol (impl/client/README.md) with nothing but the C library.
//
//	cc -o attach examples/c/attach.c
//	bin/momenode cluster --nodes 2 -- ./attach NAME PAGES
//
// It opens or creates the segment, adds 1 to a word of every page atomically, and
// says so; at the end of its standard input, or at a line of it, it says what the
// words add up to, and detaches.
//
// It has one thread, which reads the socket only while it waits for a reply: that
// is enough where nothing else comes than a few events.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

// Of linux/userfaultfd.h, which may be older than the kernel.
enum {
	FEATURE_PAGEFAULT_FLAG_WP = 1 << 0,
	FEATURE_MISSING_SHMEM = 1 << 5,
	FEATURE_THREAD_ID = 1 << 8,
	FEATURE_MINOR_SHMEM = 1 << 10,
	FEATURE_WP_HUGETLBFS_SHMEM = 1 << 12,
	FEATURE_POISON = 1 << 14,
	REGISTER_MISSING = 1 << 0,
	REGISTER_WP = 1 << 1,
	REGISTER_MINOR = 1 << 2,
};

static void fail(const char *format, ...) {
	va_list args;
	va_start(args, format);
	fprintf(stderr, "attach: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

static void check(int bad, const char *what) {
	if (bad)
		fail("%s: %s", what, strerror(errno));
}

// Messages in protobuf's encoding: fields with a number, each a varint or bytes.

enum { MAX_PACKET = 65536 };

struct message {
	size_t size;
	uint8_t bytes[MAX_PACKET + 1];
};

static void put_varint(struct message *m, uint64_t v) {
	for (; v >= 0x80; v >>= 7)
		m->bytes[m->size++] = v | 0x80;
	m->bytes[m->size++] = v;
}

static void put_number(struct message *m, int field, uint64_t v) {
	put_varint(m, field << 3);
	put_varint(m, v);
}

static void put_bytes(struct message *m, int field, const void *bytes, size_t size) {
	put_varint(m, field << 3 | 2);
	put_varint(m, size);
	memcpy(m->bytes + m->size, bytes, size);
	m->size += size;
}

struct field {
	int number; // 0: there is none
	uint64_t value;
	const uint8_t *bytes; // NULL: it is a number
	size_t size;
};

static uint64_t get_varint(const uint8_t **at, const uint8_t *end) {
	uint64_t v = 0;
	for (int shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t b = *(*at)++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return v;
	}
	fail("the node sends a number without an end");
	return 0;
}

// next_field reads one field and moves on.
static struct field next_field(const uint8_t **at, const uint8_t *end) {
	struct field f = {0};
	uint64_t tag = get_varint(at, end);
	f.number = tag >> 3;
	switch (tag & 7) {
	case 0:
		f.value = get_varint(at, end);
		return f;
	case 2:
		f.size = get_varint(at, end);
		if (f.size > (size_t)(end - *at))
			break;
		f.bytes = *at;
		*at += f.size;
		return f;
	case 1:
	case 5:
		f.size = (tag & 7) == 1 ? 8 : 4; // of a later version
		if (f.size > (size_t)(end - *at))
			break;
		*at += f.size;
		return f;
	}
	fail("the node sends what is no message");
	return f;
}

// find is the last field of that number.
static struct field find(const uint8_t *bytes, size_t size, int number) {
	struct field found = {0};
	for (const uint8_t *at = bytes, *end = bytes + size; at < end;) {
		struct field f = next_field(&at, end);
		if (f.number == number)
			found = f;
	}
	return found;
}

// The fields of Request and Reply that this program uses (attach.proto).
enum { HELLO = 2, CREATE = 3, OPEN = 4, MAP = 7, REGISTERED = 8, UNMAP = 9 };
enum { ERROR = 2, DONE = 3, WELCOME = 4, SEGMENT = 5, MAPPED = 7, CLUSTER_FAILED = 14 };
enum { CODE_EXISTS = 7 };

static int node; // the attach socket

// send_request sends a body as a request, with a descriptor if it is not negative.
static void send_request(uint64_t id, int number, const struct message *body, int fd) {
	static struct message m;
	m.size = 0;
	put_number(&m, 1, id);
	put_bytes(&m, number, body->bytes, body->size);
	struct iovec data = {m.bytes, m.size};
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct msghdr h = {.msg_iov = &data, .msg_iovlen = 1};
	if (fd >= 0) {
		h.msg_control = control.space;
		h.msg_controllen = sizeof control.space;
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	check(sendmsg(node, &h, MSG_NOSIGNAL) < 0, "send to the node");
}

// receive is the next packet, and its descriptor or -1.
static void receive(struct message *m, int *fd) {
	struct iovec data = {m->bytes, sizeof m->bytes};
	union {
		char space[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr h = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
	ssize_t n = recvmsg(node, &h, MSG_CMSG_CLOEXEC);
	check(n < 0, "receive from the node");
	if (n == 0)
		fail("the node hung up");
	m->size = n;
	*fd = -1;
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
}

// call makes a request and returns the reply's body, which is valid until the next
// call: that of the wanted kind, or an Error of the code that may be (else 0).
static struct field call(int number, const struct message *body, int fd, int want, uint64_t may, int *got) {
	static uint64_t id;
	static struct message m;
	send_request(++id, number, body, fd);
	for (;;) {
		int received;
		receive(&m, &received);
		uint64_t of = find(m.bytes, m.size, 1).value;
		struct field body = find(m.bytes, m.size, want), error = find(m.bytes, m.size, ERROR);
		if (of == 0) { // an event, but for an error of the connection
			struct field failed = find(m.bytes, m.size, CLUSTER_FAILED);
			if (failed.bytes != NULL) {
				struct field why = find(failed.bytes, failed.size, 1);
				fail("the cluster failed: %.*s", (int)why.size, (const char *)why.bytes);
			}
			if (error.bytes == NULL)
				continue;
		} else if (of != id) {
			continue;
		}
		if (error.bytes != NULL) {
			uint64_t code = find(error.bytes, error.size, 1).value;
			if (may != 0 && code == may)
				return (struct field){0};
			struct field text = find(error.bytes, error.size, 2);
			fail("the node refuses request %d: code %d: %.*s", number, (int)code, (int)text.size, (const char *)text.bytes);
		}
		if (body.bytes == NULL || (got == NULL) != (received < 0))
			fail("the node answers request %d with something else", number);
		if (got != NULL)
			*got = received;
		return body;
	}
}

// arm has the kernel kill this process when the node is gone.
static void arm(int watch) {
	check(fcntl(watch, F_SETSIG, SIGKILL) < 0, "F_SETSIG");
	check(fcntl(watch, F_SETOWN, getpid()) < 0, "F_SETOWN");
	check(fcntl(watch, F_SETFL, fcntl(watch, F_GETFL) | O_ASYNC) < 0, "O_ASYNC");
	struct pollfd p = {.fd = watch, .events = POLLRDHUP};
	if (poll(&p, 1, 0) != 0)
		fail("the node is gone");
}

// give_up ends that, for copies of the descriptor too.
static void give_up(int watch) {
	check(fcntl(watch, F_SETFL, fcntl(watch, F_GETFL) & ~O_ASYNC) < 0, "O_ASYNC off");
	check(shutdown(watch, SHUT_RDWR) < 0, "shutdown");
	close(watch);
}

static int open_userfaultfd(void) {
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0) {
		int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
		check(device < 0, "userfaultfd is not permitted, and /dev/userfaultfd");
		fd = ioctl(device, _IO(0xAA, 0), O_CLOEXEC); // USERFAULTFD_IOC_NEW
		check(fd < 0, "USERFAULTFD_IOC_NEW");
		close(device);
	}
	struct uffdio_api api = {.api = 0xAA,
		.features = FEATURE_PAGEFAULT_FLAG_WP | FEATURE_MISSING_SHMEM | FEATURE_THREAD_ID |
			    FEATURE_MINOR_SHMEM | FEATURE_WP_HUGETLBFS_SHMEM | FEATURE_POISON};
	check(ioctl(fd, UFFDIO_API, &api) < 0, "UFFDIO_API");
	return fd;
}

// map maps the segment where it must lie, so that nothing can touch it before it
// is registered.
static void *map(int memfd, uint64_t at, size_t size, int uffd) {
	// Without MAP_FIXED_NOREPLACE: a sanitizer that keeps the place to itself then
	// has the kernel choose another one, which can be told.
	void *mem = mmap((void *)at, size, PROT_NONE, MAP_SHARED | MAP_NORESERVE, memfd, 0);
	check(mem == MAP_FAILED, "mmap");
	if (mem != (void *)at)
		fail("something of this program lies at %#llx, or its sanitizer keeps the place: found the cluster with --base 0x550000000000",
		     (unsigned long long)at);
	check(madvise(mem, size, MADV_DONTFORK) < 0, "MADV_DONTFORK");
	check(madvise(mem, size, MADV_DONTDUMP) < 0, "MADV_DONTDUMP");
	check(madvise(mem, size, MADV_NOHUGEPAGE) < 0 && errno != EINVAL, "MADV_NOHUGEPAGE");
	struct uffdio_register r = {.range = {at, size}, .mode = REGISTER_MISSING | REGISTER_WP | REGISTER_MINOR};
	check(ioctl(uffd, UFFDIO_REGISTER, &r) < 0, "UFFDIO_REGISTER");
	check(mprotect(mem, size, PROT_READ | PROT_WRITE) < 0, "mprotect");
	return mem;
}

int main(int argc, char **argv) {
	if (argc != 3)
		fail("usage: attach NAME PAGES");
	const char *name = argv[1], *path = getenv("MOME_SOCKET");
	if (path == NULL)
		fail("MOME_SOCKET is not set: start it with \"momenode cluster --nodes N -- ./attach NAME PAGES\"");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address.sun_path)
		fail("MOME_SOCKET is too long");
	strcpy(address.sun_path, path);
	node = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	check(node < 0 || connect(node, (struct sockaddr *)&address, sizeof address) < 0, path);

	static struct message m;
	put_number(&m, 1, 1);
	put_bytes(&m, 2, "attach", 6);
	put_number(&m, 3, getpid());
	int watch;
	struct field welcome = call(HELLO, &m, -1, WELCOME, 0, &watch);
	uint64_t base = find(welcome.bytes, welcome.size, 6).value;
	uint64_t page = find(welcome.bytes, welcome.size, 7).value;
	arm(watch);

	m.size = 0;
	put_bytes(&m, 1, name, strlen(name));
	put_number(&m, 2, strtoull(argv[2], NULL, 10) * page);
	struct field segment = call(CREATE, &m, -1, SEGMENT, CODE_EXISTS, NULL);
	if (segment.bytes == NULL) {
		m.size = 0;
		put_bytes(&m, 1, name, strlen(name));
		segment = call(OPEN, &m, -1, SEGMENT, 0, NULL);
	}
	uint64_t at = base + find(segment.bytes, segment.size, 2).value * page;
	uint64_t pages = find(segment.bytes, segment.size, 3).value;
	struct field ref = find(segment.bytes, segment.size, 1);
	m.size = 0;
	put_bytes(&m, 1, ref.bytes, ref.size); // the same for Map, Registered and Unmap

	int memfd;
	call(MAP, &m, -1, MAPPED, 0, &memfd);
	int uffd = open_userfaultfd();
	volatile uint64_t *words = map(memfd, at, pages * page, uffd);
	close(memfd);
	call(REGISTERED, &m, uffd, DONE, 0, NULL);

	size_t step = page / sizeof *words;
	for (uint64_t i = 0; i < pages; i++)
		__atomic_add_fetch(&words[i * step], 1, __ATOMIC_SEQ_CST);
	printf("added\n");
	fflush(stdout);
	for (int c = getchar(); c != EOF && c != '\n';)
		c = getchar();
	uint64_t sum = 0;
	for (uint64_t i = 0; i < pages; i++)
		sum += __atomic_load_n(&words[i * step], __ATOMIC_SEQ_CST);
	printf("sum %llu\n", (unsigned long long)sum);

	check(munmap((void *)at, pages * page) < 0, "munmap");
	close(uffd);
	call(UNMAP, &m, -1, DONE, 0, NULL);
	give_up(watch);
	close(node);
	return 0;
}
