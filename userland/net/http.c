#include "http.h"

#include "../runtime/runtime.h"
#include "blob.h"
#include "crc32.h"
#include "release.h"
#include "stats.h"

#include <lwip/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HTTP_PORT 80
#define MAX_CONNECTIONS 48
#define HEAD_SIZE 2048
#define TEXT_SIZE 6144
#define BLOB_PIECE (8 * TCP_MSS) /* whole words and whole segments */
#define STATIC_PIECE 0x8000u
#define BLOB_MAX_MB (1UL << 20)
#define IDLE_POLLS 60 /* of half a second each, without progress */
#define HOLD_MAX_MS 60000

enum state {
	READ_HEAD,
	READ_BODY,
	WAIT_RELEASE, /* a release job is under way */
	SEND,
	DRAIN, /* all is queued: close */
};

struct connection {
	struct tcp_pcb *pcb; /* NULL: free */
	enum state state;
	bool keep_alive, peer_ended;
	unsigned int idle_polls;
	u64 body_left, body_bytes; /* of the request */
	u32 crc;
	struct pbuf *input; /* received while a request is answered: the next ones */
	/* The answer: header and text in `text`, then a constant, then a stream */
	const char *constant;
	size_t text_length, text_sent, constant_length, constant_sent;
	struct blob blob;
	u64 blob_left;
	struct release_job job;
	size_t head_length;
	char head[HEAD_SIZE];
	char text[TEXT_SIZE];
};

extern const char page_html[], page_html_end[];

static struct connection *connections;
static struct netdev *device;

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

/* Returns what an lwIP callback has to return. */
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

/* --- Answers --- */

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 411:
		return "Length Required";
	case 431:
		return "Request Header Fields Too Large";
	case 501:
		return "Not Implemented";
	default:
		return "Service Unavailable";
	}
}

static void answer_head(struct connection *c, int status, const char *type, u64 length)
{
	c->text_length = (size_t)snprintf(c->text, TEXT_SIZE,
					  "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %lu\r\n"
					  "Cache-Control: no-store\r\nConnection: %s\r\n\r\n",
					  status, reason(status), type, length,
					  c->keep_alive ? "keep-alive" : "close");
	c->text_sent = c->constant_length = c->constant_sent = 0;
	c->blob_left = 0;
	c->state = SEND;
}

static void answer_json(struct connection *c, int status, const char *json, size_t length)
{
	answer_head(c, status, "application/json", length);
	length = MIN(length, TEXT_SIZE - c->text_length);
	memcpy(c->text + c->text_length, json, length);
	c->text_length += length;
}

static void answer_error(struct connection *c, int status, const char *why)
{
	char json[256];
	int n = snprintf(json, sizeof(json), "{\"error\":\"%s\"}\n", why);

	answer_json(c, status, json, (size_t)n);
}

static void answer_page(struct connection *c)
{
	size_t length = (size_t)(page_html_end - page_html);

	answer_head(c, 200, "text/html; charset=utf-8", length);
	c->constant = page_html;
	c->constant_length = length;
}

static void answer_stats(struct connection *c)
{
	static char json[TEXT_SIZE - 512];

	answer_json(c, 200, json, stats_json(json, sizeof(json), device));
}

static err_t pump(struct connection *c);

static void release_done(struct release_job *job)
{
	struct connection *c = job->owner;
	const struct release_result *r = &job->result;
	bool zeroed = r->populated_pages == job->pages && !r->nonzero_pages;
	char json[640];
	int n;

	n = snprintf(json, sizeof(json),
		     "{\"released_pages\":%lu,\"populated_pages\":%lu,\"zeroed\":%s,\"nonzero_pages\":%lu,"
		     "\"pages_held_max\":%lu,\"release_ns\":%lu,\"populate_ns\":%lu,\"ns\":%lu,"
		     "\"release_calls\":%lu,\"populate_calls\":%lu,\"error\":%ld}\n",
		     r->released_pages, r->populated_pages, zeroed ? "true" : "false",
		     r->nonzero_pages, r->pages_held_max, r->release_ns, r->populate_ns,
		     r->total_ns, r->release_calls, r->populate_calls, r->error);
	answer_json(c, r->error ? 503 : 200, json, (size_t)n);
	pump(c); /* outside of lwIP's callbacks, so what it returns does not matter */
}

/* The number behind key= in a query; `otherwise` if it is not there. */
static u64 query_number(const char *query, const char *key, u64 otherwise)
{
	size_t n = strlen(key);

	while (query && *query) {
		if (!strncmp(query, key, n) && query[n] == '=')
			return strtoul(query + n + 1, NULL, 0);
		query = strchr(query, '&');
		query = query ? query + 1 : NULL;
	}
	return otherwise;
}

static void start_release(struct connection *c, const char *query)
{
	u64 mb = query_number(query, "mb", 1), hold = query_number(query, "hold", 0);
	char why[128];

	if (!hypervisor_is_weir()) {
		answer_error(c, 501,
			     "there is no hypervisor here that could take memory: this guest runs natively");
		return;
	}
	if (!mb || mb > release_max_pages() >> 8 || hold > HOLD_MAX_MS) {
		snprintf(why, sizeof(why), "mb= must be 1 to %lu, hold= at most %u (ms)",
			 release_max_pages() >> 8, HOLD_MAX_MS);
		answer_error(c, 400, why);
		return;
	}
	c->job.pages = mb << 8;
	c->job.hold_ms = hold;
	c->job.done = release_done;
	c->job.owner = c;
	c->state = WAIT_RELEASE;
	release_submit(&c->job);
}

/* The peer hears no more of it. */
static void reboot(struct connection *c)
{
	if (hypervisor_is_weir())
		shutdown(HOW_REBOOT, 0);
	answer_error(c, 501,
		     "there is no hypervisor here that starts this guest again: it runs natively");
}

static void start_blob(struct connection *c, const char *query)
{
	u64 mb = query_number(query, "mb", 1);

	if (mb > BLOB_MAX_MB) {
		answer_error(c, 400, "mb= must be at most 1048576");
		return;
	}
	answer_head(c, 200, "application/octet-stream", mb << 20);
	c->blob = blob_begin(query_number(query, "seed", 1));
	c->blob_left = mb << 20;
}

static void finish_sink(struct connection *c)
{
	char json[96];
	int n = snprintf(json, sizeof(json), "{\"bytes\":%lu,\"crc32\":%u}\n", c->body_bytes, c->crc);

	answer_json(c, 200, json, (size_t)n);
}

/* --- Requests --- */

static char lower(char ch)
{
	return ch >= 'A' && ch <= 'Z' ? (char)(ch | 0x20) : ch;
}

/* The value of a header field (without leading blanks) in a head whose lines end in CR LF; name in
 * small letters. */
static const char *field(const char *head, const char *name)
{
	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		size_t i = 0;

		line += 2;
		while (name[i] && lower(line[i]) == name[i])
			i++;
		if (name[i] || line[i] != ':')
			continue;
		for (line += i + 1; *line == ' ' || *line == '\t'; line++)
			;
		return line;
	}
	return NULL;
}

static bool begins_with(const char *text, const char *word)
{
	while (*word && lower(*text) == *word) {
		text++;
		word++;
	}
	return !*word;
}

static void route(struct connection *c, const char *method, char *target)
{
	char *query = strchr(target, '?');

	if (query)
		*query++ = 0;
	if (!strcmp(target, "/sink")) {
		if (strcmp(method, "POST") && strcmp(method, "PUT"))
			answer_error(c, 405, "POST a body to /sink");
		else if (c->body_left)
			c->state = READ_BODY;
		else
			finish_sink(c);
		return;
	}
	if (c->body_left) { /* nobody wants this body: it is not read */
		c->keep_alive = false;
		answer_error(c, 400, "only /sink takes a body");
	} else if (strcmp(method, "GET")) {
		answer_error(c, 405, "only GET here");
	} else if (!strcmp(target, "/")) {
		answer_page(c);
	} else if (!strcmp(target, "/stats.json")) {
		answer_stats(c);
	} else if (!strcmp(target, "/release")) {
		start_release(c, query);
	} else if (!strcmp(target, "/take")) {
		release_take();
		answer_json(c, 200, "{}\n", 3);
	} else if (!strcmp(target, "/blob")) {
		start_blob(c, query);
	} else if (!strcmp(target, "/reboot")) {
		reboot(c);
	} else {
		answer_error(c, 404, "there are / /stats.json /release /take /reboot /blob /sink");
	}
}

/* head is terminated, without the blank line. */
static void handle_head(struct connection *c)
{
	char *method = c->head, *target = strchr(method, ' '), *version,
	     *end = strstr(c->head, "\r\n");
	const char *value, *text;

	c->body_left = c->body_bytes = 0;
	c->crc = 0;
	c->keep_alive = false;
	version = target ? strchr(target + 1, ' ') : NULL;
	if (!version || (end && version > end) || strncmp(version + 1, "HTTP/1.", 7)) {
		answer_error(c, 400, "this is not an HTTP/1 request");
		return;
	}
	value = field(c->head, "connection");
	c->keep_alive = version[8] != '0' ? !value || !begins_with(value, "close") :
					    value && begins_with(value, "keep-alive");
	if (field(c->head, "transfer-encoding")) {
		c->keep_alive = false;
		answer_error(c, 411, "send the body with a Content-Length");
		return;
	}
	value = field(c->head, "content-length");
	if (value) {
		char *rest;

		c->body_left = strtoul(value, &rest, 10);
		if (rest == value || rest - value > 18) {
			c->body_left = 0;
			c->keep_alive = false;
			answer_error(c, 400, "Content-Length is no number");
			return;
		}
	}
	text = field(c->head, "expect");
	if (c->body_left && text && begins_with(text, "100-continue")) {
		static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

		if (tcp_write(c->pcb, go_on, sizeof(go_on) - 1, 0) == ERR_OK)
			tcp_output(c->pcb);
	}
	*target = *version = 0;
	route(c, method, target + 1);
}

/* Take bytes of the head; returns how many. */
static size_t read_head(struct connection *c, const char *data, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (c->head_length + 1 == HEAD_SIZE) {
			c->keep_alive = false;
			answer_error(c, 431, "the request's head is longer than 2 KiB");
			return length;
		}
		c->head[c->head_length++] = data[i];
		if (c->head_length >= 4 && !memcmp(c->head + c->head_length - 4, "\r\n\r\n", 4)) {
			c->head[c->head_length - 4] = 0;
			c->head_length = 0;
			handle_head(c);
			return i + 1;
		}
	}
	return length;
}

static size_t read_body(struct connection *c, const char *data, size_t length)
{
	length = MIN((u64)length, c->body_left);
	c->crc = crc32_add(c->crc, data, length);
	c->body_bytes += length;
	c->body_left -= length;
	if (!c->body_left)
		finish_sink(c);
	return length;
}

/* Feed what was received to the request that is being read; stop when one is being answered. */
static void consume(struct connection *c)
{
	while (c->input && (c->state == READ_HEAD || c->state == READ_BODY)) {
		struct pbuf *p = c->input;
		size_t n = c->state == READ_HEAD ? read_head(c, p->payload, p->len) :
						   read_body(c, p->payload, p->len);

		tcp_recved(c->pcb, (u16_t)n);
		if (n < p->len) {
			pbuf_remove_header(p, n);
			continue;
		}
		c->input = p->next;
		if (c->input)
			pbuf_ref(c->input);
		pbuf_free(p);
	}
}

/* --- Sending --- */

/* tcp_write() as much as fits of a piece. False when it must wait for acknowledgements. */
static bool send_piece(struct connection *c, const char *data, size_t length, size_t *done, u8_t flags)
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

static err_t pump(struct connection *c)
{
	for (;;) {
		consume(c);
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
	if (c->state == DRAIN && c->input) { /* else the end would be a reset, which may overtake the answer */
		for (const struct pbuf *p = c->input; p; p = p->next)
			tcp_recved(c->pcb, p->len);
		pbuf_free(c->input);
		c->input = NULL;
	}
	tcp_output(c->pcb);
	/* The end that came with the last data is told, and counted, right after them: before that it looks to lwIP like data that
	 * nobody has read. */
	if (c->state == DRAIN && !c->peer_ended && c->pcb->rcv_wnd != TCP_WND_MAX(c->pcb))
		return ERR_OK;
	if (c->state == DRAIN || (c->peer_ended && (c->state == READ_HEAD || c->state == READ_BODY)))
		return close_connection(c);
	return ERR_OK;
}

/* --- lwIP's callbacks --- */

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
	return pump(c);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t length)
{
	struct connection *c = arg;

	(void)pcb;
	(void)length;
	c->idle_polls = 0;
	return pump(c);
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
	return pump(c);
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
	print("http: all %u connections are taken, one was refused\n", MAX_CONNECTIONS);
	tcp_abort(pcb);
	return ERR_ABRT;
}

void http_start(struct netdev *dev)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);

	device = dev;
	crc32_init();
	connections = heap_take(MAX_CONNECTIONS * sizeof(*connections), 64);
	if (!pcb || tcp_bind(pcb, IP_ANY_TYPE, HTTP_PORT) != ERR_OK)
		fatal("http: port %u can not be had", HTTP_PORT);
	pcb = tcp_listen(pcb);
	if (!pcb)
		fatal("http: no memory to listen");
	tcp_accept(pcb, on_accept);
}
