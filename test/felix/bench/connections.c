/* Load for the data path benchmark: connections a second, or packets a second, from one namespace to another.
 *
 *   connections serve PORT                    accepts TCP and closes; counts UDP packets, printed on SIGTERM
 *   connections connect ADDRESS PORT SECONDS  one connection after the other
 *   connections send ADDRESS PORT SECONDS     small UDP packets of one flow
 *
 * The last two print how many, and the microseconds of processor time that they took. The packets' way through both hosts
 * is part of it: a veth pair hands a packet over inside the sender's system call.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;
static void stop(int number) { (void)number; stopped = 1; }

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static struct sockaddr_in address(const char *text, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, text, &a.sin_addr);
  return a;
}

static int serve(int port) {
  struct sockaddr_in a = address("0.0.0.0", port);
  int one = 1, tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
  setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(tcp, (void *)&a, sizeof a) || listen(tcp, 1024) || bind(udp, (void *)&a, sizeof a)) return 1;
  printf("ready\n");
  fflush(stdout);
  unsigned long packets = 0;
  struct pollfd fds[2] = {{.fd = tcp, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
  while (!stopped) {
    if (poll(fds, 2, -1) < 0) continue;
    if (fds[0].revents) {
      int c = accept(tcp, 0, 0);
      if (c >= 0) close(c);
    }
    char buffer[2048];
    for (int i = 0; fds[1].revents && i < 64; i++)
      if (recv(udp, buffer, sizeof buffer, MSG_DONTWAIT) >= 0) packets++;
  }
  printf("%lu\n", packets);
  return 0;
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, 0);
  if (argc == 3 && !strcmp(argv[1], "serve")) return serve(atoi(argv[2]));
  if (argc != 5) return 2;
  struct sockaddr_in to = address(argv[2], atoi(argv[3]));
  double end = now() + atof(argv[4]);
  unsigned long count = 0;
  if (!strcmp(argv[1], "connect")) {
    while (now() < end) {
      int s = socket(AF_INET, SOCK_STREAM, 0);
      struct linger hard = {1, 0};
      setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      if (connect(s, (void *)&to, sizeof to) == 0) count++;
      close(s);
    }
  } else {
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    connect(s, (void *)&to, sizeof to);
    while (now() < end)
      for (int i = 0; i < 64; i++)
        if (send(s, "twill", 5, 0) == 5) count++;
  }
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double us = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
  printf("%lu %.0f\n", count, us);
  return 0;
}
