/* Ports at all widths, configuration space, MMIO, DMA. */
#include <tests/guests/fuzz/fuzz.h>
#include <tests/guests/pci.h>

static u16 port_of(struct cpu *c)
{
	static const u16 known[] = { 0x20,  0x40,  0x60,  0x70,	 0x80,	0x92,  0xa0,  0x2f8,
				     0x3f8, 0x4d0, 0x501, 0x510, 0x600, 0xcf8, 0xcfc, 0xb000 };
	u16 port = one_in(c, 4) ?
			   (u16)random64(c) :
			   known[random_below(c, ARRAY_SIZE(known))] + (u16)random_below(c, 8);

	/* Power-off and reset would end the run. */
	if (port >= 0x600 && port <= 0x602)
		return 0x603;
	/* Output by the UART is tested by step_log(). */
	return port == 0x3f8 ? 0x3fa : port;
}

/* String I/O to an address without memory ends the domain. */
static void string_port(struct cpu *c, u16 port)
{
	static u8 buffer[8192];
	u64 address = one_in(c, 8 * (u64)rare) ? random_address(c) :
						 (u64)buffer + random_below(c, 0x1000);
	u64 count = random_below(c, 70);

	/* These change registers that the compiler may not know of, so the step ends here. */
	if (one_in(c, 2))
		__asm__ volatile("rep insb" : "+D"(address), "+c"(count) : "d"(port) : "memory");
	else
		__asm__ volatile("rep outsw" : "+S"(address), "+c"(count) : "d"(port) : "memory");
}

void step_port(struct cpu *c)
{
	u16 port = port_of(c);
	u32 value = (u32)random_edge(c);

	switch (random_below(c, 7)) {
	case 0:
		(void)inb(port);
		break;
	case 1:
		(void)inw(port);
		break;
	case 2:
		(void)inl(port);
		break;
	case 3:
		outb(port, (u8)value);
		break;
	case 4:
		outw(port, (u16)value);
		break;
	case 5:
		outl(port, value);
		break;
	default:
		string_port(c, port);
	}
}

void step_pci(struct cpu *c)
{
	u32 slot = (u32)random_below(c, one_in(c, 4) ? 32 : 6), reg = (u32)random_below(c, 64) * 4;

	if (one_in(c, 8))
		reg |= (u32)random_edge(c);
	/* Not config_read(), because the register number may have any bit set. */
	outl(PCI_CONFIG_ADDRESS, (u32)PCI_CONFIG_ENABLE | slot << 11 | reg);
	if (one_in(c, 2))
		(void)inl(PCI_CONFIG_DATA);
	else
		outl(PCI_CONFIG_DATA, one_in(c, 2) ? (u32)random_address(c) : (u32)random_edge(c));
}

void step_mmio(struct cpu *c)
{
	static const u16 selectors[] = { SELECTOR_CODE_64, SELECTOR_CODE_64, SELECTOR_CODE_32,
					 SELECTOR_CODE_16, SELECTOR_USER_CODE };
	struct code code = code_begin(c);
	u64 reg[16], near = random_address(c);

	/* An instruction that cannot be emulated ends the domain. */
	code_memory_instruction(c, &code, one_in(c, 4 * (u64)rare));
	code_end(&code);
	for (u32 i = 0; i < 16; i++)
		reg[i] = one_in(c, 8) ? random64(c) : near + random_below(c, 64);
	reg[1] = random_below(c, 80);
	code_run(c, &code, reg, selectors[random_below(c, ARRAY_SIZE(selectors))]);
}

/* DMA by QEMU's edu device (docs/specs/edu.rst), if there is one: a page to or from any address,
 * while memory there is released and populated. */
void step_dma(struct cpu *c)
{
	static volatile u8 *edu;
	u64 address = one_in(c, 16) ? random_address(c) :
				      SPARE + random_below(c, memory_size - SPARE);
	bool to_memory = one_in(c, 2);

	for (u32 slot = 1; !edu && slot < 32; slot++) {
		if (config_read(slot, PCI_VENDOR_ID) != 0x11e81234)
			continue;
		config_write(slot, PCI_COMMAND, COMMAND_ON);
		edu = config_bar(slot, 0);
	}
	if (!edu || *(volatile u64 *)(edu + 0x98) & 1)
		return;
	*(volatile u64 *)(edu + 0x80) = to_memory ? 0x40000 : address;
	*(volatile u64 *)(edu + 0x88) = to_memory ? address : 0x40000;
	*(volatile u64 *)(edu + 0x90) = 4096;
	*(volatile u64 *)(edu + 0x98) = 1 | (to_memory ? 2 : 0);
}

/* Place the first two BARs of the first device at or near the same address, so that they
 * overlap. */
void step_bars(struct cpu *c)
{
	u32 slot = 1;

	while (slot < 32 && config_read(slot, PCI_VENDOR_ID) == 0xffffffff)
		slot++;
	config_write(slot, PCI_COMMAND, 0);
	config_write(slot, PCI_BAR(0), 0xe4000000);
	config_write(slot, PCI_BAR(1), 0xe4000000 + (u32)random_below(c, 4) * 0x20000);
	config_write(slot, PCI_COMMAND, (u32)PCI_COMMAND_MEMORY);
}
