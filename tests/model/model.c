/* The IOMMU core against an adversarial software model: random programs on all kinds of hardware.
 *
 *	model [--seed N] [--steps N] [--config N] [--jobs N] [--stop 1]
 *
 * Each configuration runs in its own process. The seed is printed and reproduces a run exactly.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/lib/compiler.h>
#include <tests/model/program.h>
#include <tests/model/random.h>

static u64 seed, steps = 20000;
static unsigned int running;
static bool stop; /* at the first failure */

/* --- stand-ins for what the core calls ------------------------------------ */

static void __noreturn failed(const char *what, const char *fmt, va_list ap)
{
	fprintf(stderr, "%s: configuration %u (%s), seed %lu, step %lu: ", what, running,
		model_configs[running].name, seed, program_step());
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\nlast operations:\n");
	program_print_log();
	fprintf(stderr, "reproduce with: model --seed %lu --steps %lu --config %u\n", seed, steps,
		running);
	fflush(stderr);
	_exit(1);
}

void vtd_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	failed("FAILED", fmt, ap);
}

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	failed("PANIC", fmt, ap);
}

void log_print(enum log_level level, const char *fmt, ...)
{
	(void)level, (void)fmt;
}

bool log_allowed(struct log_limit *limit)
{
	(void)limit;
	return true;
}

/* --- main ----------------------------------------------------------------- */

static pid_t start(unsigned int config)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child)
		return child;
	running = config;
	random_seed(seed * 1000 + config);
	program_run(&model_configs[config], steps);
	_exit(0);
}

static int usage(void)
{
	fprintf(stderr, "usage: model [--seed N] [--steps N] [--config N] [--jobs N] [--stop 1]\n");
	for (unsigned int i = 0; i < MODEL_CONFIGS; i++)
		fprintf(stderr, "  configuration %2u: %s\n", i, model_configs[i].name);
	return 2;
}

static int run_all(unsigned int first, unsigned int last, unsigned int jobs)
{
	unsigned int next = first, passed = 0, bad = 0, children = 0;
	pid_t child[MODEL_CONFIGS];

	printf("model: seed %lu, %lu steps\n", seed, steps);
	while (next <= last || children) {
		int status;
		pid_t ended;

		while (next <= last && children < jobs) {
			child[next] = start(next);
			next++;
			children++;
		}
		ended = wait(&status);
		children--;
		for (unsigned int i = first; i < next; i++) {
			bool ok = WIFEXITED(status) && !WEXITSTATUS(status);

			if (child[i] != ended)
				continue;
			printf("[%s] configuration %u: %s\n", ok ? "       OK " : "  FAILED  ", i,
			       model_configs[i].name);
			if (WIFSIGNALED(status))
				printf("  killed by signal %d; reproduce with: "
				       "model --seed %lu --steps %lu --config %u\n",
				       WTERMSIG(status), seed, steps, i);
			passed += ok;
			bad += !ok;
			if (bad && stop)
				last = next - 1; /* no more are started */
		}
	}
	printf("[  PASSED  ] %u test(s).\n", passed);
	if (bad)
		printf("[  FAILED  ] %u test(s).\n", bad);
	return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	unsigned int first = 0, last = MODEL_CONFIGS - 1,
		     jobs = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);

	seed = (u64)time(NULL);
	for (int i = 1; i < argc; i += 2) {
		u64 value;

		if (i + 1 == argc)
			return usage();
		value = strtoull(argv[i + 1], NULL, 0);
		if (!strcmp(argv[i], "--seed"))
			seed = value;
		else if (!strcmp(argv[i], "--steps"))
			steps = value;
		else if (!strcmp(argv[i], "--stop"))
			stop = value;
		else if (!strcmp(argv[i], "--jobs"))
			jobs = (unsigned int)value;
		else if (!strcmp(argv[i], "--config") && value < MODEL_CONFIGS)
			first = last = (unsigned int)value;
		else
			return usage();
	}
	return run_all(first, last, jobs ? jobs : 1);
}
