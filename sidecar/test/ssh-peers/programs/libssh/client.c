/* Runs a command: PORT USER KEY KNOWN_HOSTS COMMAND. */
#include <libssh/libssh.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void must(int holds, ssh_session session) {
  if (holds) return;
  fprintf(stderr, "libssh: %s\n", ssh_get_error(session));
  exit(70);
}

/* What is there of one stream, to `fd`. Whether there was any. */
static int drain(ssh_channel channel, int is_stderr, int fd) {
  static char bytes[65536];
  int length = ssh_channel_read_nonblocking(channel, bytes, sizeof bytes, is_stderr);
  for (int at = 0; at < length;) {
    ssize_t written = write(fd, bytes + at, length - at);
    if (written <= 0) exit(71);
    at += written;
  }
  return length > 0;
}

int main(int argc, char **argv) {
  if (argc != 6) return 64;
  int off = 0;
  ssh_key key;
  ssh_session session = ssh_new();
  ssh_options_set(session, SSH_OPTIONS_HOST, "127.0.0.1");
  ssh_options_set(session, SSH_OPTIONS_PORT_STR, argv[1]);
  ssh_options_set(session, SSH_OPTIONS_USER, argv[2]);
  ssh_options_set(session, SSH_OPTIONS_KNOWNHOSTS, argv[4]);
  ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &off);
  must(ssh_connect(session) == SSH_OK, session);
  must(ssh_session_is_known_server(session) == SSH_KNOWN_HOSTS_OK, session);
  must(ssh_pki_import_privkey_file(argv[3], NULL, NULL, NULL, &key) == SSH_OK, session);
  must(ssh_userauth_publickey(session, NULL, key) == SSH_AUTH_SUCCESS, session);
  ssh_channel channel = ssh_channel_new(session);
  must(ssh_channel_open_session(channel) == SSH_OK, session);
  must(ssh_channel_request_exec(channel, argv[5]) == SSH_OK, session);

  static char input[32768];
  int has_input = 1;
  while (!ssh_channel_is_eof(channel)) {
    int moved = drain(channel, 0, 1) | drain(channel, 1, 2);
    struct pollfd stdin_ready = {.fd = 0, .events = POLLIN};
    if (has_input && ssh_channel_window_size(channel) > sizeof input && poll(&stdin_ready, 1, 0) > 0) {
      ssize_t length = read(0, input, sizeof input);
      has_input = length > 0;
      if (has_input) must(ssh_channel_write(channel, input, length) == length, session);
      else must(ssh_channel_send_eof(channel) == SSH_OK, session);
    } else if (!moved) {
      must(ssh_channel_poll_timeout(channel, 10, 0) != SSH_ERROR, session);
    }
  }
  while (drain(channel, 0, 1) | drain(channel, 1, 2)) continue;
  int status = ssh_channel_get_exit_status(channel);
  ssh_channel_close(channel);
  ssh_disconnect(session);
  return status;
}
