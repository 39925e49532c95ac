/* What must hold for the result of parsing any module line. */
#pragma once

#include <tests/unit/test.h>

#include <kernel/lib/errno.h>
#include <kernel/guest/loader/modline.h>

/* docs/guests.md lists every message: the text after the word must be there. Tests run in the top
 * directory. */
static inline void check_documented(const char *message)
{
	static char docs[65536];
	const char *text = strstr(message, "\": ");

	if (!docs[0]) {
		FILE *in = fopen("docs/guests.md", "r");

		assert_non_null(in);
		assert_in_range(fread(docs, 1, sizeof(docs) - 1, in), 1000, sizeof(docs) - 2);
		fclose(in);
	}
	text = text ? text + 3 : message;
	if (!strncmp(text, "domain ", 7)) /* names it */
		text = strstr(text, "has no memory");
	if (!text || !strstr(docs, text))
		fail_msg("docs/guests.md does not list: %s", message);
}

/* The word that a message quotes is in the line, up to where it was truncated; characters that
 * cannot be printed are masked. */
static inline void check_quotes_the_line(const char *line, const char *message)
{
	size_t n = (size_t)(strstr(message, "\": ") - message) - 1;
	const char *word = message + 1;
	bool cut = n > 3 && !strncmp(word + n - 3, "...", 3);

	for (; *line; line++) {
		size_t i = 0, len = strcspn(line, " \t\r\n");

		while (i < MIN(n, len) &&
		       (word[i] == line[i] || (word[i] == '?' && (line[i] < ' ' || line[i] > '~'))))
			i++;
		if ((i == n && len == n) || (cut && i >= n - 3))
			return;
	}
	fail_msg("the line does not contain the word in: %s", message);
}

/* The parsed line, written as text again, parses to the same result. */
static inline void check_written_again(const struct module_line *m)
{
	static const char *const restart[] = { "never", "reboot", "fault" };
	static const char *const halt[] = { "keep", "restart", "end" };
	char text[1024];
	struct module_line again;
	struct module_error e;
	int n;

	if (m->kind == MODULE_RAMDISK) {
		n = sprintf(text, "ramdisk=%s", m->domain);
	} else {
		n = sprintf(text, "kernel name=%s mem=%luK vcpus=%u prio=%u%s%s%s", m->domain,
			    m->memory >> 10, m->vcpus, m->priority, m->control ? " control" : "",
			    m->balloon ? " balloon" : "", m->legacy ? "" : " legacy=off");
		n += sprintf(text + n, " restart=%s halt=%s", restart[m->restart], halt[m->halt]);
		if (m->cpu >= 0)
			n += sprintf(text + n, " cpu=%d", m->cpu);
		for (u32 i = 0; i < m->nr_devices; i++)
			n += sprintf(text + n, " pci=%04x:%02x:%02x.%u%s", m->device[i].segment,
				     m->device[i].bdf >> 8, m->device[i].bdf >> 3 & 31,
				     m->device[i].bdf & 7, m->ats[i] ? ",ats" : "");
	}
	assert_true(n < (int)sizeof(text));
	assert_int_equal(modline_parse(text, &again, &e), 0);
	again.command_line = m->command_line;
	assert_memory_equal(&again, m, sizeof(again));
}

/* Parses `text`: it is accepted, within the limits, or refused with one printable line that names
 * the word and the fix. */
static inline void check_modline(const char *text)
{
	struct module_error e;
	struct module_line m;
	int err;

	memset(&e, 0x7f, sizeof(e));
	memset(&m, 0x7f, sizeof(m));
	err = modline_parse(text, &m, &e);
	if (!err) {
		assert_in_range(strnlen(m.domain, sizeof(m.domain)), 1, DOMAIN_NAME_MAX - 1);
		assert_in_range(m.nr_devices, 0, MODLINE_MAX_DEVICES);
		assert_true(!*m.command_line ||
			    (m.command_line >= text && m.command_line <= text + strlen(text)));
		if (m.kind == MODULE_KERNEL) {
			assert_in_range(m.memory, MODLINE_MIN_MEMORY, MODLINE_MAX_MEMORY);
			assert_true(IS_ALIGNED(m.memory, PAGE_SIZE));
			assert_in_range(m.vcpus, 1, DOMAIN_MAX_VCPUS);
		}
		check_written_again(&m);
		return;
	}
	assert_int_equal(err, -EINVAL);
	assert_in_range(strnlen(e.text, sizeof(e.text)), 10, sizeof(e.text) - 1);
	for (const char *p = e.text; *p; p++)
		assert_in_range(*p, ' ', '~');
	check_documented(e.text);
	if (e.text[0] == '"')
		check_quotes_the_line(text, e.text);
}
