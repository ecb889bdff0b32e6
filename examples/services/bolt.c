/* bolt: frames of Bolt v1, big-endian, as sofa-bolt writes them:
 *
 *      proto type cmd:2 ver id:4 codec timeout:4 class:2 header:2 content:4 | class | header pairs | content
 *
 * A response has status:2 in the place of timeout:4. */
#include "bolt.h"

#include <arpa/inet.h>
#include <string.h>

#include "net.h"

enum { REQUEST_FIXED = 22, RESPONSE_FIXED = 20, CODEC_HESSIAN = 1, TIMEOUT_MS = 1000 };

static unsigned get16(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put(unsigned char **at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *(*at)++ = (unsigned char)(value >> (8 * i));
}

static void put_text(unsigned char **at, const char *text)
{
    size_t len = strlen(text);
    memcpy(*at, text, len);
    *at += len;
}

static void put_pair(unsigned char **at, const char *name, const char *value)
{
    put(at, strlen(name), 4);
    put_text(at, name);
    put(at, strlen(value), 4);
    put_text(at, value);
}

bool bolt_read(int fd, struct bolt_frame *frame)
{
    unsigned char fixed[REQUEST_FIXED], skipped[BOLT_ROOM];
    if (!net_read(fd, fixed, RESPONSE_FIXED))
        return false;
    frame->type = fixed[1];
    frame->command = get16(fixed + 2);
    frame->id = get32(fixed + 5);
    frame->status = frame->type == BOLT_RESPONSE ? get16(fixed + 10) : 0;
    size_t left = frame->type == BOLT_RESPONSE ? 0 : REQUEST_FIXED - RESPONSE_FIXED;
    if (!net_read(fd, fixed + RESPONSE_FIXED, left))
        return false;
    const unsigned char *lengths = fixed + RESPONSE_FIXED + left - 8;
    size_t head = (size_t)get16(lengths) + get16(lengths + 2);
    frame->content_len = get32(lengths + 4);
    if (head > sizeof(skipped) || frame->content_len >= sizeof(frame->content))
        return false; /* nothing that an example would send */
    if (!net_read(fd, skipped, head) || !net_read(fd, frame->content, frame->content_len))
        return false;
    frame->content[frame->content_len] = '\0';
    return true;
}

bool bolt_write_request(int fd, uint32_t id, const char *service, const char *method, const char *content)
{
    unsigned char block[1024], frame[BOLT_ROOM], *b = block, *f = frame;
    put_pair(&b, "service", service);
    put_pair(&b, "sofa_head_method_name", method);
    put_pair(&b, "app", "front");
    const char *class_name = "com.alipay.sofa.rpc.core.request.SofaRequest";
    put(&f, 1, 1);
    put(&f, BOLT_REQUEST, 1);
    put(&f, 1, 2);
    put(&f, 1, 1);
    put(&f, id, 4);
    put(&f, CODEC_HESSIAN, 1);
    put(&f, TIMEOUT_MS, 4);
    put(&f, strlen(class_name), 2);
    put(&f, (uint64_t)(b - block), 2);
    put(&f, strlen(content), 4);
    put_text(&f, class_name);
    memcpy(f, block, (size_t)(b - block));
    f += b - block;
    put_text(&f, content);
    return net_write(fd, frame, (size_t)(f - frame));
}

bool bolt_write_response(int fd, const struct bolt_frame *request, unsigned status, bool app_error,
                         const char *content)
{
    unsigned char block[128], frame[BOLT_ROOM], *b = block, *f = frame;
    if (app_error)
        put_pair(&b, "sofa_head_response_error", "true");
    put(&f, 1, 1);
    put(&f, BOLT_RESPONSE, 1);
    put(&f, request->command == 0 ? 0 : 2, 2);
    put(&f, 1, 1);
    put(&f, request->id, 4);
    put(&f, CODEC_HESSIAN, 1);
    put(&f, status, 2);
    put(&f, 0, 2);
    put(&f, (uint64_t)(b - block), 2);
    put(&f, strlen(content), 4);
    memcpy(f, block, (size_t)(b - block));
    f += b - block;
    put_text(&f, content);
    return net_write(fd, frame, (size_t)(f - frame));
}
