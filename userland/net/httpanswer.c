/* Makes the answers of the HTTP server: the page, counters, release jobs, streams. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../runtime/runtime.h"
#include "httpconnection.h"
#include "stats.h"

#define BLOB_MAX_MB (1UL << 20)
#define HOLD_MAX_MS 60000

extern const char page_html[], page_html_end[];

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
					  "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: "
					  "%lu\r\n"
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

void http_answer_error(struct connection *c, int status, const char *why)
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

	answer_json(c, 200, json, stats_json(json, sizeof(json), http_device));
}

static void release_done(struct release_job *job)
{
	struct connection *c = job->owner;
	const struct release_result *r = &job->result;
	bool zeroed = r->populated_pages == job->pages && !r->nonzero_pages;
	char json[640];
	int n;

	n = snprintf(json, sizeof(json),
		     "{\"released_pages\":%lu,\"populated_pages\":%lu,\"zeroed\":%s,\"nonzero_"
		     "pages\":%lu,"
		     "\"pages_held_max\":%lu,\"release_ns\":%lu,\"populate_ns\":%lu,\"ns\":%lu,"
		     "\"release_calls\":%lu,\"populate_calls\":%lu,\"error\":%ld}\n",
		     r->released_pages, r->populated_pages, zeroed ? "true" : "false",
		     r->nonzero_pages, r->pages_held_max, r->release_ns, r->populate_ns,
		     r->total_ns, r->release_calls, r->populate_calls, r->error);
	answer_json(c, r->error ? 503 : 200, json, (size_t)n);
	http_pump(c); /* not in an lwIP callback, so its result does not matter */
}

/* The number after key= in a query; `otherwise` if the key is absent. */
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
		http_answer_error(c, 501, "not running under Weir: nothing takes memory back");
		return;
	}
	if (!mb || mb > release_max_pages() >> 8 || hold > HOLD_MAX_MS) {
		snprintf(why, sizeof(why), "mb= must be 1 to %lu, hold= at most %u (ms)",
			 release_max_pages() >> 8, HOLD_MAX_MS);
		http_answer_error(c, 400, why);
		return;
	}
	c->job.pages = mb << 8;
	c->job.hold_ms = hold;
	c->job.done = release_done;
	c->job.owner = c;
	c->state = WAIT_RELEASE;
	release_submit(&c->job);
}

/* The peer gets no answer. */
static void reboot(struct connection *c)
{
	if (hypervisor_is_weir())
		shutdown(HOW_REBOOT, 0);
	http_answer_error(c, 501, "not running under Weir: nothing would restart this guest");
}

static void start_blob(struct connection *c, const char *query)
{
	u64 mb = query_number(query, "mb", 1);

	if (mb > BLOB_MAX_MB) {
		http_answer_error(c, 400, "mb= must be at most 1048576");
		return;
	}
	answer_head(c, 200, "application/octet-stream", mb << 20);
	c->blob = blob_begin(query_number(query, "seed", 1));
	c->blob_left = mb << 20;
}

void http_answer_sink(struct connection *c)
{
	char json[96];
	int n = snprintf(json, sizeof(json), "{\"bytes\":%lu,\"crc32\":%u}\n", c->body_bytes,
			 c->crc);

	answer_json(c, 200, json, (size_t)n);
}

void http_answer(struct connection *c, const char *method, char *target)
{
	char *query = strchr(target, '?');

	if (query)
		*query++ = 0;
	if (!strcmp(target, "/sink")) {
		if (strcmp(method, "POST") && strcmp(method, "PUT"))
			http_answer_error(c, 405, "/sink supports POST and PUT only");
		else if (c->body_left)
			c->state = READ_BODY;
		else
			http_answer_sink(c);
		return;
	}
	if (c->body_left) { /* it is not read, so the connection must close */
		c->keep_alive = false;
		http_answer_error(c, 400, "only /sink takes a body");
	} else if (strcmp(method, "GET")) {
		http_answer_error(c, 405, "this path supports GET only");
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
		http_answer_error(
			c, 404,
			"unknown path; known: / /stats.json /release /take /reboot /blob /sink");
	}
}
