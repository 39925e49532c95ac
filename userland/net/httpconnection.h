/* A connection of the HTTP server, and the functions that work on it: httprequest.c reads a
 * request, httpanswer.c makes the answer, http.c sends it. All of them run in lwIP's callbacks or
 * in the main loop. */
#pragma once

#include <lwip/tcp.h>
#include "blob.h"
#include "release.h"

#define HEAD_SIZE 2048
#define TEXT_SIZE 6144

enum state {
	READ_HEAD,
	READ_BODY,
	WAIT_RELEASE, /* a release job is in progress */
	SEND,
	DRAIN, /* the answer is queued: close */
};

struct connection {
	struct tcp_pcb *pcb; /* NULL: free */
	enum state state;
	bool keep_alive, peer_ended;
	unsigned int idle_polls;
	u64 body_left, body_bytes; /* of the request */
	u32 crc;
	struct pbuf *input; /* received, but not read yet */
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

/* --- http.c --------------------------------------------------------------- */

/* The network device whose counters are shown. */
extern struct netdev *http_device;
/* Continue: read what was received, send what fits. Returns what an lwIP callback must return;
 * ERR_ABRT: the connection is gone. */
err_t http_pump(struct connection *c);

/* --- httprequest.c -------------------------------------------------------- */

/* Read received data into the current request; stop while a request is being answered. */
void http_read_input(struct connection *c);

/* --- httpanswer.c --------------------------------------------------------- */

/* Answer a request for `target` (which is cut before its query), or go on to read its body. */
void http_answer(struct connection *c, const char *method, char *target);
/* why: without quotation marks and backslashes, because it goes into JSON unchanged. */
void http_answer_error(struct connection *c, int status, const char *why);
/* The body of a request to /sink has been read. */
void http_answer_sink(struct connection *c);
