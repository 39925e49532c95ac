/* The code under test is compiled with -fsanitize=thread and linked with this file instead of
 * ThreadSanitizer's runtime: the compiler inserts a call before each memory access. So the hardware
 * can act between any two accesses, at points that a seed reproduces, and the model knows which
 * lines the CPU's cache may write back. */
#include <kernel/core/paging.h>
#include <kernel/lib/string.h>
#include <tests/model/interleave.h>
#include <tests/model/random.h>
#include <tests/model/unit.h>

#define LINES 64u

void (*interleave_hook)(void);

static const volatile void *lines[LINES];
static u64 nr_lines;
static u64 countdown, most = 1, calls;
static bool busy;

paddr_t interleave_line(void)
{
	const void *p = (const void *)lines[below(LINES)];

	return p ? virt_to_phys(p) : 0;
}

void interleave_now(void)
{
	if (!interleave_hook || busy)
		return;
	busy = true;
	interleave_hook();
	busy = false;
	/* In long calls the hardware acts less often. */
	countdown = below(++calls < 300 ? most : 1UL << 14);
}

void interleave_set(u64 every)
{
	most = every;
	calls = 0;
	countdown = below(most);
}

static void access(const volatile void *p, bool write)
{
	if (write && machine_has((const void *)p))
		lines[nr_lines++ % LINES] = p;
	if (!countdown--)
		interleave_now();
}

/* --- ThreadSanitizer's interface ------------------------------------------ */

/* clang-format off */
void __tsan_init(void);
void __tsan_init(void) { }
void __tsan_func_entry(void *pc);
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void);
void __tsan_func_exit(void) { }
void __tsan_read_range(void *p, unsigned long n);
void __tsan_read_range(void *p, unsigned long n) { (void)n; access(p, false); }
void __tsan_write_range(void *p, unsigned long n);
void __tsan_write_range(void *p, unsigned long n) { (void)n; access(p, true); }

/* clang 19 replaces the instrumented calls with these. */
void *__tsan_memcpy(void *to, const void *from, unsigned long n);
void *__tsan_memcpy(void *to, const void *from, unsigned long n)
{ access(from, false); access(to, true); return memcpy(to, from, n); }
void *__tsan_memmove(void *to, const void *from, unsigned long n);
void *__tsan_memmove(void *to, const void *from, unsigned long n)
{ access(from, false); access(to, true); return memmove(to, from, n); }
void *__tsan_memset(void *to, int byte, unsigned long n);
void *__tsan_memset(void *to, int byte, unsigned long n)
{
	access(to, true);
	return memset(to, byte, n);
}

#define PLAIN(name, write) \
	void __tsan_##name(void *p); \
	void __tsan_##name(void *p) { access(p, write); }
PLAIN(read1, false)
PLAIN(read2, false)
PLAIN(read4, false)
PLAIN(read8, false)
PLAIN(read16, false)
PLAIN(write1, true)
PLAIN(write2, true)
PLAIN(write4, true)
PLAIN(write8, true)
PLAIN(write16, true)
PLAIN(unaligned_read2, false)
PLAIN(unaligned_read4, false)
PLAIN(unaligned_read8, false)
PLAIN(unaligned_write2, true)
PLAIN(unaligned_write4, true)
PLAIN(unaligned_write8, true)

#define CHANGE(bits, type, what, builtin) \
	type __tsan_atomic##bits##_##what(volatile type *p, type v, int order); \
	type __tsan_atomic##bits##_##what(volatile type *p, type v, int order) \
	{ (void)order; access(p, true); return builtin(p, v, __ATOMIC_SEQ_CST); }
#define ATOMIC(bits, type) \
	type __tsan_atomic##bits##_load(const volatile type *p, int order); \
	type __tsan_atomic##bits##_load(const volatile type *p, int order) \
	{ (void)order; access(p, false); return __atomic_load_n(p, __ATOMIC_SEQ_CST); } \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order); \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order) \
	{ (void)order; access(p, true); __atomic_store_n(p, v, __ATOMIC_SEQ_CST); } \
	CHANGE(bits, type, exchange, __atomic_exchange_n) \
	CHANGE(bits, type, fetch_add, __atomic_fetch_add) \
	CHANGE(bits, type, fetch_sub, __atomic_fetch_sub) \
	CHANGE(bits, type, fetch_and, __atomic_fetch_and) \
	CHANGE(bits, type, fetch_or, __atomic_fetch_or) \
	int __tsan_atomic##bits##_compare_exchange_strong( \
		volatile type *p, type *want, type v, int ok, int bad); \
	int __tsan_atomic##bits##_compare_exchange_strong( \
		volatile type *p, type *want, type v, int ok, int bad) \
	{ \
		(void)ok, (void)bad; \
		access(p, true); \
		return __atomic_compare_exchange_n(p, want, v, false, __ATOMIC_SEQ_CST, \
						   __ATOMIC_SEQ_CST); \
	} \
	type __tsan_atomic##bits##_compare_exchange_val( \
		volatile type *p, type want, type v, int ok, int bad); \
	type __tsan_atomic##bits##_compare_exchange_val( \
		volatile type *p, type want, type v, int ok, int bad) \
	{ \
		__tsan_atomic##bits##_compare_exchange_strong(p, &want, v, ok, bad); \
		return want; \
	}
ATOMIC(8, u8)
ATOMIC(16, u16)
ATOMIC(32, u32)
ATOMIC(64, u64)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order) { (void)order; __atomic_thread_fence(__ATOMIC_SEQ_CST); }
/* clang-format on */
