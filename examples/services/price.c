/* price: knows what things cost, over Bolt. One quote in a hundred is a business error: it travels with a
 * success status, as SOFARPC's exceptions do, and the mesh counts it as an error all the same.
 *
 *     price PORT */
#include "bolt.h"
#include "net.h"

static void serve(int fd)
{
    struct bolt_frame frame;
    while (bolt_read(fd, &frame)) {
        bool heartbeat = frame.command == 0;
        if (!heartbeat)
            net_work(500);
        bool refused = !heartbeat && net_chance(100);
        const char *content = heartbeat ? "" : refused ? "no quote today" : "12.50";
        if (!bolt_write_response(fd, &frame, 0, refused, content))
            return;
    }
}

int main(int argc, char **argv)
{
    net_serve(net_listen(net_port(argc, argv, 1, "PORT")), serve);
}
