/* The clients in front of the proxies, in one thread. Results as JSON on standard output; latencies in milliseconds.
 *
 *     load http PORT SECONDS CONNECTIONS RATE PATHS BODY CLOSE
 *     load hold PORT CONNECTIONS
 *
 * http: RATE 0 is a closed loop: each connection sends its next request when it has its answer. With a RATE the loop is
 * open: requests are due at fixed moments, whatever became of those before, and latency counts from the moment a request
 * was due, not from when a connection was free for it: a proxy that stalls is charged for all that waited meanwhile.
 * PATHS: 0 for "/", N > 0 for "/pK/" with K going about in 0…N-1, "/TEXT" for that. BODY: bytes to post, 0 for a GET.
 * CLOSE: 1 for a new connection for each request.
 *
 * hold: opens connections, asks once on each, says "ready", and keeps them until standard input ends; then says how
 * many the proxy closed meanwhile.
 *
 * A request has failed that is not answered by a whole response with status 200. A kept connection that is closed between
 * requests is opened again for the next, which is no failure; one that is closed under a request is, though many clients
 * would try such a GET again.
 */
#include "common.h"

#define READ_SIZE (256 << 10)
#define GRACE 5000000000LL
#define REFUSED_PAUSE 10000000LL /* nanoseconds until the next try to connect */

enum state { CLOSED, CONNECTING, IDLE, BUSY };

struct client {
    int fd;
    enum state state;         /* between requests it stands in line, IDLE or CLOSED */
    int asked;                /* there is a request to send once it is connected */
    int ended;                /* the proxy has said that it will send no more */
    int64_t due, retry_at;
    size_t out, out_at;       /* of request[], then of the body */
    long body_out_left, body_in_left;
    size_t head_length;
    int in_body, last;
    char request[512];
    char head[HEAD_SIZE];
};

static int poller, port, closes;
static long paths, body;
static const char *path;
static char *chunk, *filling;
static struct client *clients, **idle;
static int connections, idle_count, idle_first, refused_waiting;
static int64_t interval, began, finish, issued, done, failed, refused, reconnects, received, sent_bytes, opened;
static uint32_t *latencies, seed = 12345; /* latencies in 100 ns */
static size_t latency_count, latency_room;

static void note(int64_t ns) {
    if (latency_count == latency_room) latencies = realloc(latencies, (latency_room = latency_room * 2 + 65536) * sizeof *latencies);
    latencies[latency_count++] = ns / 100 > UINT32_MAX ? UINT32_MAX : ns / 100;
}

static int in_order(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double quantile(double part) {
    if (!latency_count) return 0;
    size_t at = part * latency_count;
    return latencies[at < latency_count ? at : latency_count - 1] / 1e4;
}

static void stand_in_line(struct client *client) {
    idle[(idle_first + idle_count++) % connections] = client;
}

static void open_client(struct client *client) {
    struct sockaddr_in address = loopback(port);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0) die("socket");
    no_delay(client->fd);
    client->state = CONNECTING;
    client->ended = 0;
    opened++;
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
    watch(poller, client->fd, client);
}

static void close_client(struct client *client) {
    close(client->fd);
    client->fd = -1;
    client->state = CLOSED;
}

static void send_more(struct client *client) {
    while (client->out_at < client->out || client->body_out_left) {
        int in_head = client->out_at < client->out;
        ssize_t sent = in_head ? send(client->fd, client->request + client->out_at, client->out - client->out_at, MSG_NOSIGNAL)
                               : send(client->fd, filling, client->body_out_left < READ_SIZE ? client->body_out_left : READ_SIZE, MSG_NOSIGNAL);
        if (sent < 0) return; /* full, or broken: reading will tell */
        if (in_head) client->out_at += sent;
        else client->body_out_left -= sent, sent_bytes += sent;
    }
}

/* Give the request that is next in line to a connection that is ready for it. */
static void begin(struct client *client, int64_t now) {
    client->due = interval ? began + issued * interval : now;
    issued++;
    client->asked = 1;
    client->head_length = client->in_body = client->last = 0;
    client->out_at = 0;
    char where[64];
    if (paths > 0) {
        seed = seed * 1664525u + 1013904223u;
        snprintf(where, sizeof where, "/p%u/", (uint32_t)(((uint64_t)seed * paths) >> 32));
    }
    int length = snprintf(client->request, sizeof client->request,
                          "%s %s HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n",
                          body ? "POST" : "GET", paths > 0 ? where : path);
    if (body) length += snprintf(client->request + length, 64, "Content-Length: %ld\r\n", body);
    length += snprintf(client->request + length, 64, "%s\r\n", closes ? "Connection: close\r\n" : "");
    client->out = length;
    client->body_out_left = body;
    if (client->state == CLOSED) {
        open_client(client);
    } else {
        client->state = BUSY;
        send_more(client);
    }
}

static void finished(struct client *client, int64_t now, int good) {
    client->asked = 0;
    if (good) {
        done++;
        note(now - client->due);
    } else {
        failed++;
    }
    if (!good || closes || client->last || client->ended) {
        close_client(client);
        reconnects += good && !closes;
    } else {
        client->state = IDLE;
    }
    stand_in_line(client);
}

/* Read the response; calls finished() when it is there or cannot come any more. */
static void read_more(struct client *client) {
    for (;;) {
        ssize_t got;
        if (client->in_body) {
            got = recv(client->fd, chunk, READ_SIZE, 0);
        } else {
            got = recv(client->fd, client->head + client->head_length, HEAD_SIZE - 1 - client->head_length, 0);
        }
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            finished(client, now_ns(), 0);
            return;
        }
        received += got;
        if (!client->in_body) {
            client->head_length += got;
            client->head[client->head_length] = 0;
            char *stop = strstr(client->head, "\r\n\r\n");
            if (!stop) {
                if (client->head_length == HEAD_SIZE - 1) return finished(client, now_ns(), 0);
                continue;
            }
            stop[2] = 0;
            long length = content_length(client->head);
            if (strncmp(client->head, "HTTP/1.1 200", 12) || length < 0) {
                if (failed < 3) fprintf(stderr, "not what was wanted: %.300s\n", client->head);
                return finished(client, now_ns(), 0);
            }
            client->last = strcasestr(client->head, "\r\nconnection: close\r\n") != NULL;
            client->in_body = 1;
            client->body_in_left = length - (client->head + client->head_length - (stop + 4));
        } else {
            client->body_in_left -= got;
        }
        if (client->body_in_left <= 0) {
            finished(client, now_ns(), client->body_in_left == 0 && client->out_at == client->out && !client->body_out_left);
            return;
        }
    }
}

static void event(struct client *client, uint32_t flags) {
    if (client->state == CLOSED) return;
    if (client->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) { /* it waits for a moment before it stands in line again */
            refused++;
            failed += client->asked;
            client->asked = 0;
            close_client(client);
            client->retry_at = now_ns() + REFUSED_PAUSE;
            refused_waiting++;
            return;
        }
        if (!(flags & EPOLLOUT)) return;
        client->state = client->asked ? BUSY : IDLE;
        if (!client->asked) stand_in_line(client);
    }
    if (flags & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) client->ended = 1;
    if (client->state == BUSY) {
        if (flags & EPOLLOUT) send_more(client);
        if (flags & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) read_more(client);
    } else if (client->ended) {
        close_client(client);
        reconnects++;
    }
}

static void turn(int64_t until) {
    struct epoll_event events[256];
    int64_t wait = until - now_ns();
    if (wait < 0) wait = 0;
    struct timespec limit = {wait / 1000000000LL, wait % 1000000000LL};
    int ready = epoll_pwait2(poller, events, 256, &limit, NULL);
    for (int each = 0; each < ready; each++) event(events[each].data.ptr, events[each].events);
}

static void forget_refusals(int64_t now) {
    for (int each = 0; each < connections; each++) {
        if (clients[each].state != CLOSED || !clients[each].retry_at || clients[each].retry_at > now) continue;
        clients[each].retry_at = 0;
        refused_waiting--;
        stand_in_line(&clients[each]);
    }
}

static struct client *next_idle(void) {
    struct client *client = idle[idle_first];
    idle_first = (idle_first + 1) % connections;
    idle_count--;
    return client;
}

static void start(int count) {
    connections = count;
    clients = calloc(count, sizeof *clients);
    idle = calloc(count, sizeof *idle);
    chunk = malloc(READ_SIZE);
    filling = malloc(READ_SIZE);
    memset(filling, 'y', READ_SIZE);
}

static int run_http(double seconds, double rate) {
    for (int each = 0; each < connections; each++) {
        if (closes) clients[each].fd = -1, stand_in_line(&clients[each]);
        else open_client(&clients[each]);
    }
    interval = rate > 0 ? 1e9 / rate : 0;
    finish = INT64_MAX;
    int64_t patience = now_ns() + GRACE;
    if (!closes)
        while (idle_count + refused_waiting < connections && now_ns() < patience) turn(patience);
    began = now_ns();
    finish = began + (int64_t)(seconds * 1e9);
    int64_t total = interval ? (finish - began) / interval : INT64_MAX;
    for (;;) {
        int64_t now = now_ns();
        int64_t due = interval ? (now - began) / interval + 1 : INT64_MAX;
        if (due > total) due = total;
        if (interval || now < finish)
            while (idle_count && issued < due) begin(next_idle(), now);
        if (interval ? done + failed >= total : now >= finish && issued <= done + failed) break;
        if (now > finish + GRACE) {
            int64_t missing = (interval ? total : issued) - done - failed;
            int states[4] = {0};
            for (int each = 0; each < connections; each++) states[clients[each].state]++;
            fprintf(stderr, "%ld requests without an answer; of the connections %d are closed, %d not accepted, %d idle, %d busy\n",
                    (long)missing, states[CLOSED], states[CONNECTING], states[IDLE], states[BUSY]);
            failed += missing;
            break;
        }
        int64_t next = interval && issued < total && idle_count ? began + issued * interval : finish + GRACE + 1000000;
        if (!interval && now < finish) next = finish;
        if (refused_waiting) {
            forget_refusals(now);
            if (next > now + REFUSED_PAUSE) next = now + REFUSED_PAUSE;
        }
        turn(next);
    }
    qsort(latencies, latency_count, sizeof *latencies, in_order);
    printf("{\"requests\": %ld, \"failed\": %ld, \"seconds\": %.6f, \"received\": %ld, \"sent\": %ld, \"connections\": %ld, "
           "\"reopened\": %ld, \"refused\": %ld, \"p50\": %.4f, \"p99\": %.4f, \"p99.9\": %.4f, \"max\": %.4f}\n",
           (long)done, (long)failed, (now_ns() - began) / 1e9, (long)received, (long)sent_bytes, (long)opened,
           (long)reconnects, (long)refused, quantile(.5), quantile(.99), quantile(.999), quantile(1));
    return 0;
}

/* Few at a time: a proxy's connections to its server would otherwise be as many as ours. */
static int run_hold(void) {
    int64_t patience = now_ns() + 60000000000LL;
    finish = 0;
    for (int each = 0; each < connections; each++) {
        open_client(&clients[each]);
        while (clients[each].state == CONNECTING && now_ns() < patience) turn(patience);
        if (clients[each].state != IDLE) break;
        begin(next_idle(), now_ns());
        while (clients[each].state == BUSY && now_ns() < patience) turn(patience);
        if (failed || clients[each].state != IDLE) break;
        idle_count--; /* it stays out of the line */
    }
    if (done != connections) return fprintf(stderr, "only %ld of %d connections were served\n", (long)done, connections), 1;
    printf("ready\n");
    fflush(stdout);
    char nothing[64];
    while (read(0, nothing, sizeof nothing) > 0) continue;
    int closed = 0;
    for (int each = 0; each < connections; each++) {
        ssize_t got = recv(clients[each].fd, nothing, sizeof nothing, MSG_DONTWAIT);
        closed += !(got < 0 && errno == EAGAIN);
    }
    printf("{\"failed\": %d}\n", closed);
    return 0;
}

int main(int count, char **given) {
    many_descriptors();
    poller = epoll_create1(0);
    path = "/";
    if (count == 9 && !strcmp(given[1], "http")) {
        port = atoi(given[2]);
        if (given[6][0] == '/') path = given[6];
        else paths = atol(given[6]);
        body = atol(given[7]);
        closes = atoi(given[8]);
        start(atoi(given[4]));
        return run_http(atof(given[3]), atof(given[5]));
    }
    if (count == 4 && !strcmp(given[1], "hold")) {
        port = atoi(given[2]);
        start(atoi(given[3]));
        return run_hold();
    }
    return fprintf(stderr, "usage: see the head of load.c\n"), 2;
}
