/* Events, and the hypercalls that only the control domain may use. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#define VECTOR 0x61
#define EPERM 1
#define EINVAL 22
#define ENOSYS 38

void test_events(void)
{
	static u64 buffer[64];
	u64 number = WEIR_HC_DOMAIN_INFO;
	s64 ret;

	if (!under_weir)
		return;
	while ((ret = hypercall(number, 0, (u64)buffer, sizeof(buffer))) != -ENOSYS) {
		CHECK_EQ("events: a privileged hypercall is refused", ret, -EPERM);
		number++;
	}
	CHECK("events: all of them", number > WEIR_HC_LOG_READ);
	CHECK_EQ("events: one that does not exist", hypercall(0xfff, 0, 0, 0), -ENOSYS);
	for (unsigned int i = 0; i < ARRAY_SIZE(buffer); i++)
		if (buffer[i])
			CHECK_EQ("events: nothing was revealed", buffer[i], 0);

	CHECK_EQ("events: an exception's vector", hypercall(WEIR_HC_EVENT_VECTOR, 15, 0, 0),
		 -EINVAL);
	CHECK_EQ("events: a vector of 9 bits", hypercall(WEIR_HC_EVENT_VECTOR, 256, 0, 0), -EINVAL);
	CHECK_EQ("events: a vector", hypercall(WEIR_HC_EVENT_VECTOR, VECTOR, 0, 0), 0);
	CHECK_EQ("events: none", hypercall(WEIR_HC_EVENTS, 0, 0, 0), 0);
	CHECK_EQ("events: no vector", hypercall(WEIR_HC_EVENT_VECTOR, 0, 0, 0), 0);
	CHECK_EQ("events: nothing came", taken[VECTOR], 0);
}
