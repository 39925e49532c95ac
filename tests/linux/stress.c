/* stress SECONDS: a Linux program for the initramfs. Threads on all CPUs share one address space,
 * whose pages are replaced, protected and given back all the time. A stale TLB entry shows as an
 * old number, or as a write that should have failed. Meanwhile processes are created and end.
 *
 * Prints one line at the end. The exit status is 1 if anything was wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define PAGES 16UL
#define MAX_CPUS 64

static volatile unsigned long *area;
static atomic_ulong number; /* what each page begins with; odd: it is being changed */
static atomic_bool over;
static atomic_ulong looks, stale, forbidden, slept, longest_ms, children, lost;

static _Thread_local sigjmp_buf refused;
static _Thread_local volatile sig_atomic_t may_be_refused;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void on_segv(int sig)
{
	(void)sig;
	if (!may_be_refused)
		abort();
	siglongjmp(refused, 1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* Reads a word. False if that caused a SIGSEGV. */
static bool __attribute__((noinline)) read_word(volatile unsigned long *at, unsigned long *value)
{
	may_be_refused = 1;
	if (sigsetjmp(refused, 1)) {
		may_be_refused = 0;
		return false;
	}
	*value = *at;
	may_be_refused = 0;
	return true;
}

static bool __attribute__((noinline)) write_word(volatile unsigned long *at, unsigned long value)
{
	may_be_refused = 1;
	if (sigsetjmp(refused, 1)) {
		may_be_refused = 0;
		return false;
	}
	*at = value;
	may_be_refused = 0;
	return true;
}

/* A value that is read between two reads of the same even number must be that number. */
static void *reader(void *arg)
{
	unsigned long i = 0;

	pin((int)(long)arg);
	while (!over) {
		unsigned long before = number, seen;

		if (before & 1) {
			sched_yield();
			continue;
		}
		if (!read_word(&area[i++ % PAGES * (PAGE / sizeof(*area))], &seen)) {
			/* It was taken away meanwhile; if not, it must be there. */
			lost += number == before;
		} else if (number == before) {
			looks++;
			stale += seen != before;
		}
	}
	return NULL;
}

/* The thread protects its own page from time to time: no thread of the process may write to it
 * then. */
static void *protector(void *arg)
{
	volatile unsigned long *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN), cpu = (int)(long)arg;
	unsigned long n = 0;

	if (page == MAP_FAILED)
		die("mmap");
	while (!over) {
		pin(cpu++ % cpus);
		*page = ++n;
		if (mprotect((void *)page, PAGE, PROT_READ))
			die("mprotect");
		pin(cpu++ % cpus);
		forbidden += write_word(page, 0) || *page != n;
		if (mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE))
			die("mprotect");
	}
	return NULL;
}

static unsigned long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long)t.tv_sec * 1000 + (unsigned long)t.tv_nsec / 1000000;
}

/* A timer that never fires hangs the program, which the test notices. */
static void *sleeper(void *arg)
{
	pin((int)(long)arg);
	while (!over) {
		struct timespec t = { 0, 5000000 };
		unsigned long start = now_ms();

		nanosleep(&t, NULL);
		slept++;
		if (now_ms() - start > longest_ms)
			longest_ms = now_ms() - start;
	}
	return NULL;
}

static void *forker(void *arg)
{
	pin((int)(long)arg);
	while (!over) {
		int status;
		pid_t pid = fork();
		bool ended;

		if (pid < 0)
			die("fork");
		if (!pid) {
			unsigned long *p = malloc(1 << 18);

			for (unsigned long i = 0; i < (1 << 18) / sizeof(*p); i++)
				p[i] = i;
			_exit(p[12345] == 12345 ? 7 : 1);
		}
		ended = waitpid(pid, &status, 0) == pid && WIFEXITED(status);
		lost += !ended || WEXITSTATUS(status) != 7;
		children++;
	}
	return NULL;
}

/* Replaces the pages by new ones, in one of three ways. */
static void replace(unsigned long n)
{
	void *at = (void *)area;
	unsigned long size = PAGES * PAGE;

	number = 2 * n - 1;
	if (n % 3 == 0) {
		if (madvise(at, size, MADV_DONTNEED))
			die("madvise");
	} else {
		/* Not munmap(): into the hole another thread's mmap() could come. */
		if (n % 3 == 1 && mprotect(at, size, PROT_NONE))
			die("mprotect");
		if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) != at)
			die("mmap");
	}
	for (unsigned long i = 0; i < PAGES; i++)
		area[i * (PAGE / sizeof(*area))] = 2 * n;
	number = 2 * n;
}

int main(int argc, char **argv)
{
	void *(*const work[])(void *) = { reader, protector, sleeper, forker };
	unsigned long seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
	unsigned long end = now_ms() + 1000 * seconds, rounds = 0;
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN), nr = 0;
	struct sigaction segv = { .sa_handler = on_segv, .sa_flags = SA_NODEFER };
	pthread_t thread[4 * MAX_CPUS];

	sigaction(SIGSEGV, &segv, NULL);
	area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || cpus > MAX_CPUS)
		die("mmap");
	for (int cpu = 0; cpu < cpus; cpu++)
		for (int i = 0; i < 4; i++)
			if (pthread_create(&thread[nr++], NULL, work[i], (void *)(long)cpu))
				die("pthread_create");
	while (now_ms() < end) {
		replace(++rounds);
		usleep(1000);
	}
	over = 1;
	for (int i = 0; i < nr; i++)
		pthread_join(thread[i], NULL);
	printf("%lu rounds, %lu looks, %lu sleeps of at most %lu ms, %lu children on %d CPUs: "
	       "%lu stale, %lu forbidden, %lu lost\n",
	       rounds, (unsigned long)looks, (unsigned long)slept, (unsigned long)longest_ms,
	       (unsigned long)children, cpus, (unsigned long)stale, (unsigned long)forbidden,
	       (unsigned long)lost);
	return stale || forbidden || lost || !looks;
}
