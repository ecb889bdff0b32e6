/* step: lets a real sidecar die or stop between two messages of its own in a walk (src/upgrade/walk.h).
 *
 * Loaded into it by LD_PRELOAD, it looks at what goes over sockets of whole messages, which only the walk
 * uses. $SAMPAN_STEP says where: "say R 1 before kill", "hear F 2 after stop": the second `F` that is heard;
 * then the process signals itself. Before hearing is no place of its own: it is behind what came before.
 *
 * Nothing of this is in the program: what is tested is what is shipped. */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    char verb[8], letter, when[8], act[8];
    int number; /* how many times more; 0: not any more */
} want;
static ssize_t (*real_sendmsg)(int sock, const struct msghdr *msg, int flags);
static ssize_t (*real_recvmsg)(int sock, struct msghdr *msg, int flags);

__attribute__((constructor)) static void begin(void)
{
    const char *step = getenv("SAMPAN_STEP");
    if (!step ||
        sscanf(step, "%7s %c %d %7s %7s", want.verb, &want.letter, &want.number, want.when, want.act) != 5)
        want.number = 0;
    unsetenv("SAMPAN_STEP"); /* who starts itself anew goes through */
    *(void **)&real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
    *(void **)&real_recvmsg = dlsym(RTLD_NEXT, "recvmsg");
}

static int is_meant(const char *verb, int sock, const struct msghdr *msg)
{
    int type = 0;
    socklen_t len = sizeof(type);
    return want.number > 0 && strcmp(want.verb, verb) == 0 && msg->msg_iovlen > 0 &&
           *(char *)msg->msg_iov[0].iov_base == want.letter &&
           getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static void count(void)
{
    static const char words[] = "step: here\n";
    if (--want.number > 0)
        return;
    (void)!write(STDERR_FILENO, words, sizeof(words) - 1);
    raise(strcmp(want.act, "kill") == 0 ? SIGKILL : SIGSTOP);
}

ssize_t sendmsg(int sock, const struct msghdr *msg, int flags)
{
    int meant = is_meant("say", sock, msg);
    if (meant && strcmp(want.when, "before") == 0)
        count();
    ssize_t sent = real_sendmsg(sock, msg, flags);
    if (meant && sent > 0 && strcmp(want.when, "after") == 0)
        count();
    return sent;
}

ssize_t recvmsg(int sock, struct msghdr *msg, int flags)
{
    ssize_t got = real_recvmsg(sock, msg, flags);
    if (got > 0 && is_meant("hear", sock, msg))
        count();
    return got;
}
