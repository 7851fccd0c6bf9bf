/*
 * twill-cni: what the container runtime executes. It hands the request to the node's agent and prints the answer.
 *
 *     CNI_* environment + standard input  --unix socket-->  agent  -->  standard output + exit status
 *
 * In C because a runtime starts it for every pod: 1.4 ms, where starting Node takes 47. cni/fallback.ts does the same
 * where there is no compiler, and the same tests run against both. The protocol is described in cni/protocol.ts.
 *
 * The socket: "agentSocket" of the network configuration, else $TWILL_RUN_DIR/cni.sock, else /run/twill/cni.sock.
 * VERSION is answered without the agent.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define VERSIONS "\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\""
#define LATEST "1.1.0"
#define INPUT_LIMIT (16u << 20)
/* Longer than the agent ever takes, shorter than runtimes wait for a sandbox. */
#define TIMEOUT_SEC 120

enum { IO_FAILURE = 5, TRY_AGAIN_LATER = 11, NOT_AVAILABLE = 50 };

extern char **environ;

struct buffer {
  char *bytes;
  size_t length, capacity;
};

static void append(struct buffer *buffer, const void *bytes, size_t length) {
  if (buffer->length + length + 1 > buffer->capacity) {
    buffer->capacity = (buffer->length + length + 1) * 2;
    buffer->bytes = realloc(buffer->bytes, buffer->capacity);
    if (!buffer->bytes) exit(1);
  }
  memcpy(buffer->bytes + buffer->length, bytes, length);
  buffer->length += length;
  buffer->bytes[buffer->length] = 0;
}

/* Reads to the end of file; -1 on an error, with what came before it in the buffer. */
static int read_all(int fd, struct buffer *buffer, size_t limit) {
  char chunk[16384];
  for (;;) {
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n == 0) return 0;
    if (n < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    if (buffer->length + n > limit) {
      errno = EFBIG;
      return -1;
    }
    append(buffer, chunk, n);
  }
}

static int write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, bytes, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    bytes += n;
    length -= n;
  }
  return 0;
}

/* Position behind the string that begins at `at`. */
static const char *skip_string(const char *at, const char *end) {
  for (at++; at < end && *at != '"'; at++)
    if (*at == '\\') at++;
  return at < end ? at + 1 : end;
}

/*
 * The text value of a key of the outermost JSON object, with simple escapes undone; 0 when there is none. The input is
 * somebody else's and may be no JSON at all: then nothing is found, and the agent says what is wrong with it.
 */
static char *text_of_key(const char *json, size_t length, const char *key) {
  const char *at = json, *end = json + length;
  int depth = 0, is_key = 0;
  while (at < end) {
    if (*at == '{' || *at == '[') {
      depth++;
      is_key = *at == '{';
    } else if (*at == '}' || *at == ']') {
      depth--;
    } else if (*at == ',' && depth == 1) {
      is_key = 1;
    } else if (*at == '"') {
      const char *start = at + 1, *next = skip_string(at, end);
      int found = depth == 1 && is_key && (size_t)(next - start) == strlen(key) + 1 && !strncmp(start, key, strlen(key));
      is_key = 0;
      at = next;
      if (!found) continue;
      while (at < end && (*at == ':' || *at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
      if (at >= end || *at != '"') return 0;
      next = skip_string(at, end);
      char *text = malloc(next - at + 1), *to = text;
      if (!text) exit(1);
      for (at++; at < next - 1; at++) {
        if (*at == '\\') at++;
        *to++ = *at;
      }
      *to = 0;
      return text;
    }
    at++;
  }
  return 0;
}

static void print_json_text(const char *text) {
  putchar('"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    if ((unsigned char)*text >= 0x20) putchar(*text);
  }
  putchar('"');
}

static int fail(const char *version, int code, const char *message, const char *details) {
  printf("{\"cniVersion\":");
  print_json_text(version ? version : LATEST);
  printf(",\"code\":%d,\"msg\":", code);
  print_json_text(message);
  printf(",\"details\":");
  print_json_text(details);
  printf("}");
  return 1;
}

static char *socket_path(const struct buffer *input) {
  char *path = text_of_key(input->bytes, input->length, "agentSocket");
  const char *directory = getenv("TWILL_RUN_DIR");
  if (path && *path) return path;
  if (!directory || !*directory) directory = "/run/twill";
  path = malloc(strlen(directory) + sizeof "/cni.sock");
  if (!path) exit(1);
  sprintf(path, "%s/cni.sock", directory);
  return path;
}

/* A connected socket; -1 with errno. */
static int connect_agent(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval timeout = {.tv_sec = TIMEOUT_SEC};
  int fd;
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : fd;
}

static int forward(int fd, const struct buffer *input, struct buffer *reply) {
  struct buffer request = {0};
  for (char **variable = environ; *variable; variable++)
    if (!strncmp(*variable, "CNI_", 4)) append(&request, *variable, strlen(*variable) + 1);
  append(&request, "", 1);
  append(&request, input->bytes, input->length);
  if (write_all(fd, request.bytes, request.length) < 0) return -1;
  if (shutdown(fd, SHUT_WR) < 0) return -1;
  return read_all(fd, reply, (size_t)-1 / 4);
}

/* The same as in fallback.ts; a test compares them. */
#define TWILL_VERSION "0.1.0"
static const char usage[] =
    "twill-cni: the CNI plugin of Twill. Container runtimes execute it, people seldom do.\n"
    "\n"
    "Usage: CNI_COMMAND=ADD|DEL|CHECK|GC|STATUS|VERSION CNI_...=... twill-cni < network-configuration.json\n"
    "\n"
    "It passes the request to twill-node on this node and prints the answer. The socket is the configuration's\n"
    "\"agentSocket\", or else cni.sock in TWILL_RUN_DIR, or else /run/twill/cni.sock.\n"
    "The CNI_* variables are those of the CNI specification 1.1: https://www.cni.dev/docs/spec/\n"
    "\n"
    "  --help     this text\n"
    "  --version  the version of the program\n";

int main(int argc, char **argv) {
  const char *command = getenv("CNI_COMMAND");
  struct buffer input = {0}, reply = {0};
  char *version, *path, *body, *rest;
  char message[256];
  int fd, unavailable, status;
  if (argc > 1 && !strcmp(argv[1], "--help")) return fputs(usage, stdout) < 0;
  if (argc > 1 && !strcmp(argv[1], "--version")) return puts("twill-cni " TWILL_VERSION) < 0;
  signal(SIGPIPE, SIG_IGN);
  if (!command) command = "";
  append(&input, "", 0);
  if (read_all(0, &input, INPUT_LIMIT) < 0)
    return fail(0, IO_FAILURE, "standard input can not be read", strerror(errno));
  version = text_of_key(input.bytes, input.length, "cniVersion");
  if (!strcmp(command, "VERSION")) {
    printf("{\"cniVersion\":");
    print_json_text(version ? version : LATEST);
    printf(",\"supportedVersions\":[" VERSIONS "]}");
    return 0;
  }
  unavailable = strcmp(command, "STATUS") ? TRY_AGAIN_LATER : NOT_AVAILABLE;
  path = socket_path(&input);
  fd = connect_agent(path);
  if (fd < 0) {
    snprintf(message, sizeof message, "twill-node does not answer on %.100s: %s", path, strerror(errno));
    return fail(version, unavailable, message, "is it running on this node? its log says why not");
  }
  if (forward(fd, &input, &reply) < 0) {
    snprintf(message, sizeof message, "twill-node on %.100s gave no answer: %s", path, strerror(errno));
    return fail(version, unavailable, message, "its log says more");
  }
  body = reply.bytes ? strchr(reply.bytes, '\n') : 0;
  if (!body) return fail(version, unavailable, "twill-node closed the connection without an answer", "did it restart?");
  status = (int)strtol(reply.bytes, &rest, 10);
  if (rest != body) return fail(version, IO_FAILURE, "what answers on the agent's socket is not twill-node", path);
  body++;
  if (write_all(1, body, reply.bytes + reply.length - body) < 0) return 1;
  return status;
}
