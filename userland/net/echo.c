/* The echo server. Data that a TCP peer does not read keeps its window closed. */
#include "echo.h"

#include <lwip/tcp.h>
#include <lwip/udp.h>
#include "../runtime/runtime.h"

#define ECHO_PORT 7
#define MAX_CONNECTIONS 32
#define MAX_WRITE 0x4000
#define IDLE_POLLS 120 /* of half a second each, with data that the peer does not take */

struct echo {
	struct tcp_pcb *pcb; /* NULL: free */
	struct pbuf *queue; /* received, not yet sent back */
	u16_t offset; /* of the queue's first pbuf, already sent back */
	bool ended; /* the peer has sent its FIN */
	unsigned int idle_polls;
};

static struct echo echoes[MAX_CONNECTIONS];

static void release(struct echo *e)
{
	if (e->queue)
		pbuf_free(e->queue);
	*e = (struct echo){ 0 };
}

/* Send back what fits, and open the peer's window by exactly that much. */
static err_t pump(struct echo *e)
{
	struct tcp_pcb *pcb = e->pcb;

	while (e->queue) {
		struct pbuf *p = e->queue;
		u32 n = MIN((u32)(p->len - e->offset), (u32)tcp_sndbuf(pcb));

		n = MIN(n, (u32)MAX_WRITE);
		if (!n && p->len != e->offset)
			break;
		if (n && tcp_write(pcb, (u8_t *)p->payload + e->offset, (u16_t)n,
				   TCP_WRITE_FLAG_COPY) != ERR_OK)
			break; /* continues at the next acknowledgement or poll */
		e->offset = (u16_t)(e->offset + n);
		if (n)
			tcp_recved(pcb, (u16_t)n);
		if (e->offset < p->len)
			continue;
		e->queue = p->next;
		e->offset = 0;
		if (e->queue)
			pbuf_ref(e->queue);
		pbuf_free(p);
	}
	tcp_output(pcb);
	if (!e->queue && e->ended && tcp_close(pcb) == ERR_OK) {
		tcp_arg(pcb, NULL);
		release(e);
	}
	return ERR_OK;
}

static err_t on_receive(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct echo *e = arg;

	if (!e) {
		if (p) {
			tcp_recved(pcb, p->tot_len);
			pbuf_free(p);
		}
		return ERR_OK;
	}
	if (err != ERR_OK && p) {
		pbuf_free(p);
		return ERR_OK;
	}
	if (!p)
		e->ended = true;
	else if (e->queue)
		pbuf_cat(e->queue, p);
	else
		e->queue = p;
	return pump(e);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t length)
{
	struct echo *e = arg;

	(void)pcb;
	(void)length;
	if (!e)
		return ERR_OK;
	e->idle_polls = 0;
	return pump(e);
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb)
{
	struct echo *e = arg;

	if (!e)
		return ERR_OK;
	if (e->queue && ++e->idle_polls > IDLE_POLLS) {
		tcp_arg(pcb, NULL);
		release(e);
		tcp_abort(pcb);
		return ERR_ABRT;
	}
	return pump(e);
}

static void on_error(void *arg, err_t err)
{
	(void)err;
	if (arg)
		release(arg);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	(void)arg;
	if (err != ERR_OK || !pcb)
		return ERR_VAL;
	for (u32 i = 0; i < MAX_CONNECTIONS; i++) {
		struct echo *e = &echoes[i];

		if (e->pcb)
			continue;
		e->pcb = pcb;
		tcp_arg(pcb, e);
		tcp_recv(pcb, on_receive);
		tcp_sent(pcb, on_sent);
		tcp_poll(pcb, on_poll, 1);
		tcp_err(pcb, on_error);
		return ERR_OK;
	}
	tcp_abort(pcb);
	return ERR_ABRT;
}

static void on_datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *address,
			u16_t port)
{
	(void)arg;
	udp_sendto(pcb, p, address, port);
	pbuf_free(p);
}

void echo_start(void)
{
	struct tcp_pcb *tcp = tcp_new_ip_type(IPADDR_TYPE_ANY);
	struct udp_pcb *udp = udp_new_ip_type(IPADDR_TYPE_ANY);

	if (!tcp || !udp || tcp_bind(tcp, IP_ANY_TYPE, ECHO_PORT) != ERR_OK ||
	    udp_bind(udp, IP_ANY_TYPE, ECHO_PORT) != ERR_OK)
		fatal("echo: cannot listen on port %u", ECHO_PORT);
	tcp = tcp_listen(tcp);
	if (!tcp)
		fatal("echo: no memory to listen");
	tcp_accept(tcp, on_accept);
	udp_recv(udp, on_datagram, NULL);
}
