/* Reads a request: its head, and the body of one to /sink. HTTP/1.1, RFC 9112. */
#include <stdlib.h>
#include <string.h>
#include <kernel/lib/compiler.h>
#include "crc32.h"
#include "httpconnection.h"

static char lower(char ch)
{
	return ch >= 'A' && ch <= 'Z' ? (char)(ch | 0x20) : ch;
}

/* The value of a header field, without leading blanks, in a head whose lines end with CR LF; NULL
 * if it is absent. name: in lower case. */
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

/* c->head is complete and null-terminated, without the blank line. */
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
		http_answer_error(c, 400, "not an HTTP/1 request");
		return;
	}
	value = field(c->head, "connection");
	c->keep_alive = version[8] != '0' ? !value || !begins_with(value, "close") :
					    value && begins_with(value, "keep-alive");
	if (field(c->head, "transfer-encoding")) {
		c->keep_alive = false;
		http_answer_error(c, 411, "send the body with a Content-Length");
		return;
	}
	value = field(c->head, "content-length");
	if (value) {
		char *rest;

		c->body_left = strtoul(value, &rest, 10);
		if (rest == value || rest - value > 18) {
			c->body_left = 0;
			c->keep_alive = false;
			http_answer_error(c, 400, "Content-Length is not a number");
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
	http_answer(c, method, target + 1);
}

/* Take bytes of the head; returns how many were taken. */
static size_t read_head(struct connection *c, const char *data, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (c->head_length + 1 == HEAD_SIZE) {
			c->keep_alive = false;
			http_answer_error(c, 431, "the request's head is longer than 2 KiB");
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
		http_answer_sink(c);
	return length;
}

void http_read_input(struct connection *c)
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
