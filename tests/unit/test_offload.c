/* sources: userland/drivers/offload.c */
/* What a network device is told about a frame's headers: with the seed and these offsets, a device
 * that sums and inserts must get the checksum that the RFCs define. Frames may be truncated
 * anywhere and are never read beyond their end. */
#include "test.h"

#include <userland/drivers/offload.h>

#define ROUNDS 20000
#define MAX_FRAME 400

struct frame {
	u8 byte[MAX_FRAME];
	u32 length;
	bool ipv4, fragment;
	u8 protocol, l4, checksum;
	u32 l4_length;
};

static void put16(u8 *p, u32 v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

static u32 sum(const u8 *p, u32 length, u32 start)
{
	u64 total = start;

	for (u32 i = 0; i < length; i++)
		total += i & 1 ? p[i] : (u32)p[i] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (u32)total;
}

static void make(struct frame *f)
{
	u8 *ip = f->byte + ETH_HEADER_BYTES;
	u32 l3_length, l4_header;

	for (u32 i = 0; i < MAX_FRAME; i++)
		f->byte[i] = (u8)rand();
	f->ipv4 = rand() & 1;
	f->fragment = f->ipv4 && rand() % 8 == 0;
	f->protocol = rand() % 3 == 0 ? 17 : 6;
	l4_header = f->protocol == 6 ? 20 : 8;
	f->l4_length = l4_header + (u32)rand() % 200;
	l3_length = f->ipv4 ? 20 + 4 * ((u32)rand() % 11) : 40;
	f->l4 = (u8)(ETH_HEADER_BYTES + l3_length);
	f->checksum = (u8)(f->l4 + (f->protocol == 6 ? 16 : 6));
	f->length = f->l4 + f->l4_length;
	put16(f->byte + 12, f->ipv4 ? 0x0800 : 0x86dd);
	if (f->ipv4) {
		ip[0] = (u8)(0x40 | l3_length / 4);
		put16(ip + 2, l3_length + f->l4_length);
		put16(ip + 6, f->fragment ? (rand() & 1 ? 0x2000 : 1 + rand() % 0x1fff) : 0x4000);
		ip[9] = f->protocol;
	} else {
		put16(ip + 4, f->l4_length);
		ip[6] = f->protocol;
	}
}

/* The pseudo header of RFC 9293 (3.1) and RFC 8200 (8.1), then header and data with a checksum
 * field of 0. */
static u32 reference(const struct frame *f)
{
	const u8 *ip = f->byte + ETH_HEADER_BYTES;
	u8 text[MAX_FRAME + 40] = { 0 };
	u32 at;

	if (f->ipv4) {
		memcpy(text, ip + 12, 8);
		text[9] = f->protocol;
		put16(text + 10, f->l4_length);
		at = 12;
	} else {
		memcpy(text, ip + 8, 32);
		put16(text + 34, f->l4_length);
		text[39] = f->protocol;
		at = 40;
	}
	memcpy(text + at, f->byte + f->l4, f->l4_length);
	put16(text + at + (f->checksum - f->l4), 0);
	return ~sum(text, at + f->l4_length, 0) & 0xffff;
}

static void test_device_arrives_at_the_checksum(void **state)
{
	struct frame f;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct net_headers h;

		make(&f);
		assert_true(net_parse(f.byte, f.length, &h));
		assert_int_equal(h.ipv4, f.ipv4);
		assert_int_equal(h.l3, ETH_HEADER_BYTES);
		assert_int_equal(h.l4, f.l4);
		if (f.fragment) {
			assert_int_equal(h.protocol, 0);
			continue;
		}
		assert_int_equal(h.protocol, f.protocol);
		assert_int_equal(h.checksum, f.checksum);
		assert_int_equal(h.l4_length, f.l4_length);
		net_seed_checksum(f.byte, &h);
		/* 82574 datasheet, 7.2.9: from TUCSS to the end, including the field */
		assert_int_equal(~sum(f.byte + h.l4, f.length - h.l4, 0) & 0xffff, reference(&f));
	}
}

static void test_ipv4_header(void **state)
{
	struct frame f;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct net_headers h;
		u32 at = (u32)rand();

		make(&f);
		assert_true(net_parse(f.byte, f.length, &h));
		if (!h.ipv4)
			continue;
		put16(f.byte + h.l3 + 10, 0);
		put16(f.byte + h.l3 + 10, ~sum(f.byte + h.l3, h.l4 - h.l3, 0) & 0xffff);
		assert_true(net_ipv4_header_good(f.byte, &h));
		at = h.l3 + at % (h.l4 - h.l3);
		f.byte[at] = (u8)(f.byte[at] ^ BIT(rand() % 8));
		assert_false(net_ipv4_header_good(f.byte, &h));
	}
}

static void test_cut_off(void **state)
{
	struct frame f;

	(void)state;
	for (int i = 0; i < ROUNDS / 100; i++) {
		make(&f);
		for (u32 length = 0; length <= f.length; length++) {
			struct net_headers h;
			u8 *exact = malloc(length + !length);
			u32 needed = f.l4 + (f.fragment ? 0 : f.protocol == 6 ? 20u : 8u);

			memcpy(exact, f.byte, length);
			assert_int_equal(net_parse(exact, length, &h), length >= needed);
			if (length >= needed && h.protocol)
				net_seed_checksum(exact, &h);
			free(exact);
		}
	}
}

static void test_noise(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		u32 length = (u32)rand() % 120;
		u8 *frame = malloc(length + !length);
		struct net_headers h;

		for (u32 j = 0; j < length; j++)
			frame[j] = (u8)rand();
		if (length > 14)
			put16(frame + 12, rand() & 1 ? 0x0800 : 0x86dd);
		if (net_parse(frame, length, &h) && h.protocol)
			net_seed_checksum(frame, &h);
		free(frame);
	}
}

static void test_other_protocols(void **state)
{
	struct net_headers h;
	struct frame f;

	(void)state;
	do
		make(&f);
	while (f.fragment);
	put16(f.byte + 12, 0x0806);
	assert_false(net_parse(f.byte, f.length, &h));
	put16(f.byte + 12, f.ipv4 ? 0x0800 : 0x86dd);
	f.byte[ETH_HEADER_BYTES + (f.ipv4 ? 9 : 6)] = 58;
	assert_true(net_parse(f.byte, f.length, &h));
	assert_int_equal(h.protocol, 0);
	assert_int_equal(h.l4, f.l4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device_arrives_at_the_checksum),
		cmocka_unit_test(test_ipv4_header),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_other_protocols),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
