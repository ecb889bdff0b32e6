/* front: takes orders over HTTP. For each it asks `stock` over HTTP whether the thing is there and `price`
 * over Bolt what it costs. It dials its own sidecar for both and names whom it means (Host, service): where
 * they are is not its business.
 *
 *     front PORT STOCK_PORT PRICE_PORT          the two are ports of its sidecar */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bolt.h"
#include "http.h"
#include "net.h"

static uint16_t stock_port, price_port;

/* What one connection of a caller keeps open. */
struct desk {
    int stock, price;
    uint32_t next_id;
};

static bool ask_stock(struct desk *desk, char *body, size_t room)
{
    if (desk->stock < 0)
        desk->stock = net_dial(stock_port);
    unsigned status = desk->stock < 0 ? 0 : http_get(desk->stock, "stock", "/items/7", body, room);
    if (status == 0 && desk->stock >= 0) {
        close(desk->stock);
        desk->stock = -1;
    }
    return status == 200;
}

static bool ask_price(struct desk *desk, struct bolt_frame *frame)
{
    if (desk->price < 0)
        desk->price = net_dial(price_port);
    bool ok = desk->price >= 0 &&
              bolt_write_request(desk->price, ++desk->next_id, "com.example.Price:1.0", "quote", "7") &&
              bolt_read(desk->price, frame) && frame->id == desk->next_id;
    if (!ok && desk->price >= 0) {
        close(desk->price);
        desk->price = -1;
    }
    return ok && frame->status == 0;
}

static void serve(int fd)
{
    char path[256], there[512], answer[8192];
    struct bolt_frame frame;
    struct desk desk = { -1, -1, 0 };
    while (http_read_request(fd, path, sizeof(path))) {
        bool ok = ask_stock(&desk, there, sizeof(there)) && ask_price(&desk, &frame);
        snprintf(answer, sizeof(answer), ok ? "%s at %s\n" : "not now\n", there, frame.content);
        if (!http_write_answer(fd, ok ? 200 : 503, answer))
            break;
    }
    if (desk.stock >= 0)
        close(desk.stock);
    if (desk.price >= 0)
        close(desk.price);
}

int main(int argc, char **argv)
{
    uint16_t port = net_port(argc, argv, 1, "PORT STOCK_PORT PRICE_PORT");
    stock_port = net_port(argc, argv, 2, "PORT STOCK_PORT PRICE_PORT");
    price_port = net_port(argc, argv, 3, "PORT STOCK_PORT PRICE_PORT");
    net_serve(net_listen(port), serve);
}
