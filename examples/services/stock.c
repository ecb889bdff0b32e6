/* stock: knows what is there, over HTTP. One answer in two hundred is an error, so that there is something to
 * see.
 *
 *     stock PORT */
#include "http.h"
#include "net.h"

static void serve(int fd)
{
    char path[256];
    while (http_read_request(fd, path, sizeof(path))) {
        net_work(800);
        bool broken = net_chance(200);
        if (!http_write_answer(fd, broken ? 500 : 200, broken ? "shelf fell over\n" : "3 lamps"))
            return;
    }
}

int main(int argc, char **argv)
{
    net_serve(net_listen(net_port(argc, argv, 1, "PORT")), serve);
}
