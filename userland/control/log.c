/* The command log: shows Weir's log again, from memory. */
#include "shell.h"

/* Reads the log up to where it ended at begin_log(). */
struct log_reader {
	struct weir_log_position at;
	u64 end;
	char text[4096];
};

static void begin_log(struct log_reader *r)
{
	r->at.next = r->at.end = 0;
	/* A read of 0 bytes returns where the log ends. */
	(void)hypercall(WEIR_HC_LOG_READ, (u64)&r->at, (u64)r->text, 0);
	r->end = r->at.end;
}

/* Read the next part into r->text and return its length; 0: at the end, or Ctrl-C was typed. */
static size_t read_log(struct log_reader *r)
{
	u64 left = r->at.next < r->end ? r->end - r->at.next : 0;
	s64 n;

	if (!left || shell_interrupted())
		return 0;
	n = hypercall(WEIR_HC_LOG_READ, (u64)&r->at, (u64)r->text, MIN(left, sizeof(r->text)));
	return n > 0 ? (size_t)n : 0;
}

static u64 count_lines(struct log_reader *r)
{
	u64 lines = 0;
	size_t n;

	begin_log(r);
	while ((n = read_log(r)))
		for (size_t i = 0; i < n; i++)
			lines += r->text[i] == '\n';
	return lines;
}

void log_command(int argc, char **argv)
{
	static struct log_reader reader;
	u64 wanted, lines, skip = 0;
	size_t n;

	if (argc) {
		if (!parse_number(argv[0], &wanted))
			return;
		lines = count_lines(&reader);
		skip = lines > wanted ? lines - wanted : 0;
	}
	begin_log(&reader);
	while ((n = read_log(&reader))) {
		size_t from = 0;

		for (; skip && from < n; from++)
			skip -= reader.text[from] == '\n';
		print_raw(reader.text + from, n - from);
	}
}
