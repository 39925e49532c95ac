/* The connections of the HTTP server: accepts them, sends answers, closes them. */
#include "http.h"

#include <string.h>
#include "../runtime/runtime.h"
#include "crc32.h"
#include "httpconnection.h"

#define HTTP_PORT 80
#define MAX_CONNECTIONS 48
#define BLOB_PIECE (8 * TCP_MSS) /* whole words and whole segments */
#define STATIC_PIECE 0x8000u
#define IDLE_POLLS 60 /* of half a second each, without progress */

struct netdev *http_device;

static struct connection *connections;

static void forget(struct connection *c)
{
	release_cancel(&c->job);
	if (c->input)
		pbuf_free(c->input);
	c->input = NULL;
	c->pcb = NULL;
}

static void detach(struct connection *c)
{
	tcp_arg(c->pcb, NULL);
	tcp_recv(c->pcb, NULL);
	tcp_sent(c->pcb, NULL);
	tcp_poll(c->pcb, NULL, 0);
	tcp_err(c->pcb, NULL);
}

/* Returns what the calling lwIP callback must return. */
static err_t close_connection(struct connection *c)
{
	struct tcp_pcb *pcb = c->pcb;

	detach(c);
	forget(c);
	if (tcp_close(pcb) == ERR_OK)
		return ERR_OK;
	tcp_abort(pcb);
	return ERR_ABRT;
}

/* Queue as much of a piece as fits. False if the rest must wait for acknowledgements. */
static bool send_piece(struct connection *c, const char *data, size_t length, size_t *done,
		       u8_t flags)
{
	while (*done < length) {
		size_t n = MIN(length - *done, (size_t)tcp_sndbuf(c->pcb));

		n = MIN(n, (size_t)STATIC_PIECE);
		if (!n || tcp_write(c->pcb, data + *done, (u16_t)n, flags) != ERR_OK)
			return false;
		*done += n;
	}
	return true;
}

static bool send_blob(struct connection *c)
{
	static u64 piece[BLOB_PIECE / 8];

	while (c->blob_left) {
		size_t n = MIN(c->blob_left, sizeof(piece));
		struct blob next = c->blob;

		if (tcp_sndbuf(c->pcb) < n ||
		    tcp_sndqueuelen(c->pcb) + 2 * BLOB_PIECE / TCP_MSS > TCP_SND_QUEUELEN)
			return false;
		blob_fill(&next, piece, n / 8);
		if (tcp_write(c->pcb, piece, (u16_t)n, TCP_WRITE_FLAG_COPY) != ERR_OK)
			return false;
		c->blob = next;
		c->blob_left -= n;
	}
	return true;
}

err_t http_pump(struct connection *c)
{
	for (;;) {
		http_read_input(c);
		if (c->state != SEND)
			break;
		if (!send_piece(c, c->text, c->text_length, &c->text_sent, TCP_WRITE_FLAG_COPY) ||
		    !send_piece(c, c->constant, c->constant_length, &c->constant_sent, 0) ||
		    !send_blob(c))
			break;
		if (c->keep_alive && !(c->peer_ended && !c->input))
			c->state = READ_HEAD;
		else
			c->state = DRAIN;
	}
	/* Closing with unread input would send a reset, which may overtake the answer. */
	if (c->state == DRAIN && c->input) {
		for (const struct pbuf *p = c->input; p; p = p->next)
			tcp_recved(c->pcb, p->len);
		pbuf_free(c->input);
		c->input = NULL;
	}
	tcp_output(c->pcb);
	/* lwIP reports a FIN that came with the last data right after that data. Until then, it
	 * takes the FIN for unread data, and closing would send a reset. */
	if (c->state == DRAIN && !c->peer_ended && c->pcb->rcv_wnd != TCP_WND_MAX(c->pcb))
		return ERR_OK;
	if (c->state == DRAIN ||
	    (c->peer_ended && (c->state == READ_HEAD || c->state == READ_BODY)))
		return close_connection(c);
	return ERR_OK;
}

/* --- lwIP's callbacks ----------------------------------------------------- */

static err_t on_receive(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct connection *c = arg;

	(void)pcb;
	if (p && err != ERR_OK) {
		pbuf_free(p);
		return ERR_OK;
	}
	c->idle_polls = 0;
	if (!p)
		c->peer_ended = true;
	else if (c->input)
		pbuf_cat(c->input, p);
	else
		c->input = p;
	return http_pump(c);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t length)
{
	struct connection *c = arg;

	(void)pcb;
	(void)length;
	c->idle_polls = 0;
	return http_pump(c);
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb)
{
	struct connection *c = arg;

	if (c->state != WAIT_RELEASE && ++c->idle_polls > IDLE_POLLS) {
		detach(c);
		forget(c);
		tcp_abort(pcb);
		return ERR_ABRT;
	}
	return http_pump(c);
}

static void on_error(void *arg, err_t err)
{
	(void)err;
	forget(arg);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	(void)arg;
	if (err != ERR_OK || !pcb)
		return ERR_VAL;
	for (u32 i = 0; i < MAX_CONNECTIONS; i++) {
		struct connection *c = &connections[i];

		if (c->pcb)
			continue;
		memset(c, 0, offsetof(struct connection, head));
		c->pcb = pcb;
		tcp_arg(pcb, c);
		tcp_recv(pcb, on_receive);
		tcp_sent(pcb, on_sent);
		tcp_poll(pcb, on_poll, 1);
		tcp_err(pcb, on_error);
		tcp_nagle_disable(pcb);
		return ERR_OK;
	}
	print("http: all %u connections are in use; another one was refused\n", MAX_CONNECTIONS);
	tcp_abort(pcb);
	return ERR_ABRT;
}

void http_start(struct netdev *dev)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);

	http_device = dev;
	crc32_init();
	connections = heap_take(MAX_CONNECTIONS * sizeof(*connections), 64);
	if (!pcb || tcp_bind(pcb, IP_ANY_TYPE, HTTP_PORT) != ERR_OK)
		fatal("http: cannot listen on port %u", HTTP_PORT);
	pcb = tcp_listen(pcb);
	if (!pcb)
		fatal("http: no memory to listen");
	tcp_accept(pcb, on_accept);
}
