/* QEMU's edu device (docs/specs/edu.rst): DMA and an interrupt. */
#include <tests/guests/edu.h>
#include <tests/guests/pci.h>

#define IRQ_RAISE 0x60
#define IRQ_ACKNOWLEDGE 0x64
#define DMA_SOURCE 0x80
#define DMA_DESTINATION 0x88
#define DMA_COUNT 0x90
#define DMA_COMMAND 0x98
#define START 1UL
#define TO_MEMORY 2UL
#define BUFFER 0x40000UL

static u32 slot;
static volatile u8 *registers;

u32 edu_use(u32 n)
{
	slot = 0;
	for (u32 at = 1; at < 32 && !slot; at++)
		if (config_read(at, PCI_VENDOR_ID) == EDU_ID && !n--)
			slot = at;
	if (slot) {
		registers = config_bar(slot, 0);
		config_write(slot, PCI_COMMAND, COMMAND_ON);
	}
	return slot;
}

u32 edu_find(void)
{
	return edu_use(0);
}

static void write64(u32 reg, u64 value)
{
	*(volatile u64 *)(registers + reg) = value;
}

static bool dma(u64 source, u64 destination, u32 bytes, u64 direction, void (*meanwhile)(void))
{
	write64(DMA_SOURCE, source);
	write64(DMA_DESTINATION, destination);
	write64(DMA_COUNT, bytes);
	write64(DMA_COMMAND, START | direction);
	if (meanwhile)
		meanwhile();
	for (u32 us = 0; us < 3000000; us += 50) {
		if (!(*(volatile u64 *)(registers + DMA_COMMAND) & START))
			return true;
		spin_us(50);
	}
	return false;
}

bool edu_read(u64 address, u32 bytes)
{
	return dma(address, BUFFER, bytes, 0, NULL);
}

bool edu_write(u64 address, u32 bytes)
{
	return edu_write_meanwhile(address, bytes, NULL);
}

bool edu_write_meanwhile(u64 address, u32 bytes, void (*meanwhile)(void))
{
	return dma(BUFFER, address, bytes, TO_MEMORY, meanwhile);
}

void edu_bus_master(bool on)
{
	config_write(slot, PCI_COMMAND, on ? COMMAND_ON : (u32)PCI_COMMAND_MEMORY);
}

void edu_set(u8 *page, const void *data, u32 bytes)
{
	for (u32 i = 0; i < bytes; i++)
		((volatile u8 *)page)[i] = ((const u8 *)data)[i];
	CHECK("edu: its buffer is set", edu_read((u64)page, bytes));
}

void edu_msi(u64 address, u32 data)
{
	u32 at = config_capability(slot, PCI_CAP_MSI);

	config_write(slot, at + PCI_MSI_ADDRESS, (u32)address);
	config_write(slot, at + PCI_MSI_ADDRESS_HIGH, (u32)(address >> 32));
	config_write(slot, at + PCI_MSI_DATA_64, data);
	config_write(slot, at, (u32)PCI_MSI_ENABLE << 16);
}

void edu_msi_off(void)
{
	config_write(slot, config_capability(slot, PCI_CAP_MSI), 0);
}

void edu_raise(void)
{
	*(volatile u32 *)(registers + IRQ_RAISE) = 1;
}

void edu_acknowledge(void)
{
	*(volatile u32 *)(registers + IRQ_ACKNOWLEDGE) = ~0u;
}
