/* Clients of TCP and UDP echo servers, in one thread. Results as JSON on standard output; latencies in milliseconds.
 *
 *     flows tcp PORT SECONDS CONNECTIONS          connect, send a byte, have it back, close, again
 *     flows udp PORT SECONDS FLOWS WINDOW SIZE    each flow keeps WINDOW packets of SIZE bytes on their way
 */
#include "common.h"

#define LOST 500000000LL /* nanoseconds without a packet after which those on their way are given up */
#define GRACE 3000000000LL

struct flow {
    int fd, on_way, connected;
    int64_t last;
};

static int poller, port, size, window;
static struct flow *flows;
static int64_t finish, done, failed, in_flight, latency_sum;
static char packet[65536];

static void send_packet(struct flow *flow, int64_t now) {
    memcpy(packet, &now, sizeof now);
    if (send(flow->fd, packet, size, 0) == size) flow->on_way++;
}

static void udp_event(struct flow *flow) {
    for (;;) {
        char got[65536];
        ssize_t length = recv(flow->fd, got, sizeof got, 0);
        if (length < 0) return;
        int64_t now = now_ns(), then;
        memcpy(&then, got, sizeof then);
        if (length != size || now - then > LOST) continue; /* given up already */
        flow->on_way--;
        flow->last = now;
        done++;
        latency_sum += now - then;
        if (now < finish) send_packet(flow, now);
    }
}

static void give_up_lost(int count, int64_t now) {
    for (int each = 0; each < count; each++) {
        struct flow *flow = &flows[each];
        if (flow->on_way && now - flow->last > LOST) {
            failed += flow->on_way;
            flow->on_way = 0;
        }
        if (now < finish)
            while (flow->on_way < window) {
                int before = flow->on_way;
                if (!before) flow->last = now;
                send_packet(flow, now);
                if (flow->on_way == before) break;
            }
    }
}

static void open_flow(struct flow *flow, int type) {
    struct sockaddr_in address = loopback(port);
    flow->fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
    if (flow->fd < 0) die("socket");
    flow->connected = 0;
    flow->last = now_ns();
    if (type == SOCK_STREAM) no_delay(flow->fd), in_flight++;
    if (connect(flow->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
    watch(poller, flow->fd, flow);
}

static void tcp_event(struct flow *flow, uint32_t flags) {
    char got[16];
    if (!flow->connected && (flags & EPOLLOUT) && !(flags & EPOLLERR)) {
        flow->connected = 1;
        if (send(flow->fd, "x", 1, MSG_NOSIGNAL) != 1) flags |= EPOLLERR;
    }
    if (!(flags & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP))) return;
    ssize_t length = recv(flow->fd, got, sizeof got, 0);
    if (length < 0 && errno == EAGAIN) return;
    int64_t now = now_ns();
    if (length == 1) done++, latency_sum += now - flow->last;
    else failed++;
    close(flow->fd);
    flow->fd = -1;
    in_flight--;
    if (now < finish) open_flow(flow, SOCK_STREAM);
}

int main(int count, char **given) {
    int is_udp = count == 7 && !strcmp(given[1], "udp");
    if (!is_udp && !(count == 5 && !strcmp(given[1], "tcp"))) return fprintf(stderr, "usage: see the head of flows.c\n"), 2;
    many_descriptors();
    poller = epoll_create1(0);
    port = atoi(given[2]);
    int total = atoi(given[4]);
    if (is_udp) window = atoi(given[5]), size = atoi(given[6]);
    flows = calloc(total, sizeof *flows);
    int64_t began = now_ns(), checked = 0;
    finish = began + (int64_t)(atof(given[3]) * 1e9);
    for (int each = 0; each < total; each++) open_flow(&flows[each], is_udp ? SOCK_DGRAM : SOCK_STREAM);
    for (;;) {
        int64_t now = now_ns();
        if (is_udp && now - checked > 50000000) {
            give_up_lost(total, now);
            checked = now;
            in_flight = 0;
            for (int each = 0; each < total; each++) in_flight += flows[each].on_way;
        }
        if (now >= finish && (!in_flight || now > finish + GRACE)) break;
        struct epoll_event events[256];
        int ready = epoll_wait(poller, events, 256, 20);
        for (int each = 0; each < ready; each++) {
            if (is_udp) udp_event(events[each].data.ptr);
            else tcp_event(events[each].data.ptr, events[each].events);
        }
    }
    printf("{\"%s\": %ld, \"failed\": %ld, \"seconds\": %.6f, \"mean\": %.4f}\n", is_udp ? "packets" : "connections", (long)done,
           (long)(failed + in_flight), (now_ns() - began) / 1e9, done ? latency_sum / 1e6 / done : 0);
    return 0;
}
