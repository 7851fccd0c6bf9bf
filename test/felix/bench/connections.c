/* Load for the data path benchmark, from one namespace to another.
 *
 *   connections serve PORT          accepts TCP and closes; answers UDP packets that begin with '?', drops the others
 *   connections load ADDRESS PORT   does what standard input asks for, line by line, and prints a line for each:
 *       connect SECONDS             one TCP connection after the other
 *       flow SECONDS                small UDP packets of one flow that was answered
 *       oneway SECONDS              small UDP packets of one flow that was never answered
 *
 * A line of output says how many, and the microseconds of processor time that they took. The packets' way through both
 * hosts is part of it: a veth pair hands a packet over inside the sender's system call. The two programs keep to
 * processors of their own, so that how the scheduler places them is not measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double processor_us(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

static void keep_to(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  sched_setaffinity(0, sizeof set, &set);
}

static struct sockaddr_in address(const char *text, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, text, &a.sin_addr);
  return a;
}

static int serve(int port) {
  struct sockaddr_in a = address("0.0.0.0", port), from;
  int one = 1, tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
  setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(tcp, (void *)&a, sizeof a) || listen(tcp, 1024) || bind(udp, (void *)&a, sizeof a)) return 1;
  printf("ready\n");
  fflush(stdout);
  struct pollfd fds[2] = {{.fd = tcp, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
  for (;;) {
    if (poll(fds, 2, -1) < 0) continue;
    if (fds[0].revents) {
      int c = accept(tcp, 0, 0);
      if (c >= 0) close(c);
    }
    char buffer[2048];
    for (int i = 0; fds[1].revents && i < 64; i++) {
      socklen_t length = sizeof from;
      ssize_t size = recvfrom(udp, buffer, sizeof buffer, MSG_DONTWAIT, (void *)&from, &length);
      if (size < 0) break;
      if (size > 0 && buffer[0] == '?') sendto(udp, buffer, size, 0, (void *)&from, length);
    }
  }
}

static unsigned long connections(const struct sockaddr_in *to, double end) {
  unsigned long count = 0;
  while (now() < end) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct linger hard = {1, 0};
    setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    if (connect(s, (void *)to, sizeof *to) == 0) count++;
    close(s);
  }
  return count;
}

/* The first packet asks for an answer, again and again until there is one. */
static int is_answered(int s) {
  char buffer[16];
  struct timeval patience = {0, 100000};
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (int i = 0; i < 20; i++)
    if (send(s, "?", 1, 0) == 1 && recv(s, buffer, sizeof buffer, 0) > 0) return 1;
  return 0;
}

static unsigned long packets(int s, double end) {
  unsigned long count = 0;
  while (now() < end)
    for (int i = 0; i < 64; i++)
      if (send(s, "twill", 5, 0) == 5) count++;
  return count;
}

static int load(struct sockaddr_in to) {
  char mode[16];
  double seconds;
  while (scanf("%15s %lf", mode, &seconds) == 2) {
    unsigned long count;
    double used;
    if (!strcmp(mode, "connect")) {
      used = processor_us();
      count = connections(&to, now() + seconds);
    } else {
      int s = socket(AF_INET, SOCK_DGRAM, 0);
      connect(s, (void *)&to, sizeof to);
      int usable = strcmp(mode, "flow") || is_answered(s);
      used = processor_us();
      count = usable ? packets(s, now() + seconds) : 0;
      close(s);
    }
    printf("%lu %.0f\n", count, processor_us() - used);
    fflush(stdout);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "serve")) {
    keep_to(sysconf(_SC_NPROCESSORS_ONLN) - 1);
    return serve(atoi(argv[2]));
  }
  if (argc != 4 || strcmp(argv[1], "load")) return 2;
  keep_to(0);
  return load(address(argv[2], atoi(argv[3])));
}
