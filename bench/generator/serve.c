/* The servers behind the proxies, in one thread.
 *
 *     serve HTTP-PORT TCP-PORT UDP-PORT
 *
 * HTTP/1.1: "/…/N" with a number above 0 is answered with N bytes, "/show" with the request's head as it came, all else
 * with 100 bytes, once the whole body is there. TCP and UDP: what comes is sent back.
 */
#include "common.h"

#define BIGGEST (16 << 20)
#define CHUNK (1 << 20)

enum kind { LISTEN_HTTP, LISTEN_TCP, UDP, HTTP, ECHO };

struct peer {
    enum kind kind;
    int fd;
    int closing;
    size_t head_length;
    long body_left;           /* of the request, still to come */
    size_t out_head, out_head_at, out_body_left;
    const char *out_body;
    char *head;               /* HEAD_SIZE for what comes in, HEAD_SIZE for what goes out, HEAD_SIZE for "/show" */
};

static int poller;
static char *filling, *chunk;

static int listening(int port, int type) {
    int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0), one = 1, room = 4 << 20;
    struct sockaddr_in address = loopback(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (type == SOCK_DGRAM) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) die("bind");
    if (type == SOCK_STREAM && listen(fd, 4096)) die("listen");
    return fd;
}

static struct peer *add(enum kind kind, int fd) {
    struct peer *peer = calloc(1, sizeof *peer);
    peer->kind = kind;
    peer->fd = fd;
    if (kind == HTTP) peer->head = malloc(3 * HEAD_SIZE);
    watch(poller, fd, peer);
    return peer;
}

static void end(struct peer *peer) {
    close(peer->fd);
    free(peer->head);
    free(peer);
}

/* Send what is ready; 0 when the connection is over. */
static int flush(struct peer *peer) {
    while (peer->out_head_at < peer->out_head || peer->out_body_left) {
        ssize_t sent;
        if (peer->out_head_at < peer->out_head)
            sent = send(peer->fd, peer->head + HEAD_SIZE + peer->out_head_at, peer->out_head - peer->out_head_at, MSG_NOSIGNAL);
        else
            sent = send(peer->fd, peer->out_body, peer->out_body_left < CHUNK ? peer->out_body_left : CHUNK, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN;
        if (peer->out_head_at < peer->out_head) {
            peer->out_head_at += sent;
        } else {
            peer->out_body_left -= sent;
        }
    }
    return !peer->closing;
}

static void answer(struct peer *peer) {
    char *space = strchr(peer->head, ' '), *out = peer->head + HEAD_SIZE;
    size_t length = 100;
    peer->out_body = filling;
    if (space) {
        char *stop = strchr(space + 1, ' ');
        if (stop) {
            char *digits = stop;
            while (digits > space && digits[-1] != '/') digits--;
            long wanted = strtol(digits, NULL, 10);
            if (wanted > 0 && wanted <= BIGGEST && digits[-1] == '/') length = wanted;
            if (!strncmp(space, " /show ", 7)) {
                length = strlen(peer->head);
                memcpy(peer->head + 2 * HEAD_SIZE, peer->head, length);
                peer->out_body = peer->head + 2 * HEAD_SIZE;
            }
        }
    }
    peer->closing = strcasestr(peer->head, "\r\nconnection: close\r\n") != NULL;
    peer->out_head_at = 0;
    peer->out_head = snprintf(out, HEAD_SIZE,
                              "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n",
                              length, peer->closing ? "Connection: close\r\n" : "");
    peer->out_body_left = length;
    if (length <= 1024) { /* one packet, as any server would */
        memcpy(out + peer->out_head, peer->out_body, length);
        peer->out_head += length;
        peer->out_body_left = 0;
    }
    peer->head_length = 0;
}

/* Read a request, or more of one; 0 when the connection is over. One request at a time: no proxy here pipelines. */
static int http(struct peer *peer) {
    if (!flush(peer)) return 0;
    for (;;) {
        if (peer->body_left) {
            ssize_t got = recv(peer->fd, chunk, peer->body_left < CHUNK ? peer->body_left : CHUNK, 0);
            if (got == 0) return 0;
            if (got < 0) return errno == EAGAIN;
            if ((peer->body_left -= got)) continue;
            answer(peer);
            if (!flush(peer)) return 0;
            continue;
        }
        ssize_t got = recv(peer->fd, peer->head + peer->head_length, HEAD_SIZE - 1 - peer->head_length, 0);
        if (got == 0) return 0;
        if (got < 0) return errno == EAGAIN;
        peer->head_length += got;
        peer->head[peer->head_length] = 0;
        char *stop = strstr(peer->head, "\r\n\r\n");
        if (!stop) {
            if (peer->head_length == HEAD_SIZE - 1) return 0;
            continue;
        }
        size_t early = peer->head + peer->head_length - (stop + 4);
        stop[4] = 0;
        long length = content_length(peer->head);
        peer->body_left = length > 0 ? length - (long)early : 0;
        if (peer->body_left < 0 || (length < 0 && early)) return 0;
        if (peer->body_left) continue;
        answer(peer);
        if (!flush(peer)) return 0;
    }
}

static int echo(struct peer *peer) {
    for (;;) {
        ssize_t got = recv(peer->fd, chunk, CHUNK, 0);
        if (got == 0) return 0;
        if (got < 0) return errno == EAGAIN;
        if (send(peer->fd, chunk, got, MSG_NOSIGNAL) != got) return 0; /* used with single bytes */
    }
}

static void datagrams(int fd) {
    struct sockaddr_in from;
    for (;;) {
        socklen_t size = sizeof from;
        ssize_t got = recvfrom(fd, chunk, CHUNK, 0, (struct sockaddr *)&from, &size);
        if (got < 0) return;
        sendto(fd, chunk, got, 0, (struct sockaddr *)&from, size);
    }
}

int main(int count, char **given) {
    if (count != 4) return fprintf(stderr, "usage: serve HTTP-PORT TCP-PORT UDP-PORT\n"), 2;
    many_descriptors();
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(0);
    filling = malloc(CHUNK);
    memset(filling, 'x', CHUNK);
    chunk = malloc(CHUNK);
    add(LISTEN_HTTP, listening(atoi(given[1]), SOCK_STREAM));
    add(LISTEN_TCP, listening(atoi(given[2]), SOCK_STREAM));
    add(UDP, listening(atoi(given[3]), SOCK_DGRAM));
    for (;;) {
        struct epoll_event events[256];
        int ready = epoll_wait(poller, events, 256, -1);
        for (int each = 0; each < ready; each++) {
            struct peer *peer = events[each].data.ptr;
            if (peer->kind == UDP) {
                datagrams(peer->fd);
            } else if (peer->kind == LISTEN_HTTP || peer->kind == LISTEN_TCP) {
                int fd;
                while ((fd = accept4(peer->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    no_delay(fd);
                    add(peer->kind == LISTEN_HTTP ? HTTP : ECHO, fd);
                }
            } else if (!(peer->kind == HTTP ? http(peer) : echo(peer))) {
                end(peer);
            }
        }
    }
}
