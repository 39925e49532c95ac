/* The 82574's two rings, which e1000e_rx.c and e1000e_tx.c implement for the driver in e1000e.c. */
#pragma once

#include <userland/drivers/e1000e_regs.h>
#include <userland/drivers/netdev.h>
#include <userland/runtime/mmio.h>
#include <userland/runtime/pci.h>

#define RX_RING 256u
#define RX_REFILL_BATCH 16u /* descriptors per write of RDT */
#define TX_RING 1024u
#define TX_MAX_SEGMENTS 16u

struct e1000e {
	struct netdev net;
	struct pci_device pci;
	volatile void *regs;
	u8 queues_vector, other_vector; /* other: with MSI-X only */
	volatile bool link_event;

	struct rx_desc *rx;
	struct netbuf *rx_buffer[RX_RING];
	/* Free running: the next one to look at, and the next one to give to the device. */
	u32 rx_next, rx_fill;
	u32 rx_told; /* rx_fill when RDT was last written */
	bool rx_dropping; /* the rest of a frame that needs more than one buffer */
	struct netbuf *rx_free;

	struct tx_desc *tx;
	struct {
		void *token;
		bool last; /* of its frame */
	} tx_slot[TX_RING];
	u32 tx_next, tx_clean; /* free running */
	struct tx_desc tx_context; /* the one that the device has loaded */
	bool tx_context_loaded;
};

static inline struct e1000e *to_e1000e(struct netdev *dev)
{
	return container_of(dev, struct e1000e, net);
}

static inline u32 reg_read(const struct e1000e *e, u32 reg)
{
	return mmio_read32((const volatile u8 *)e->regs + reg);
}

static inline void reg_write(struct e1000e *e, u32 reg, u64 value)
{
	mmio_write32((volatile u8 *)e->regs + reg, (u32)value);
}

/* --- receive -------------------------------------------------------------- */

/* Allocate the ring and the buffers, once. */
void e1000e_rx_allocate(struct e1000e *e);
/* Empty the ring; buffers that the device had return to the pool. */
void e1000e_rx_reset(struct e1000e *e);
/* Give free buffers to the device. */
void e1000e_rx_refill(struct e1000e *e);
/* Write RDT, so that the device sees all buffers that it was given. */
void e1000e_rx_tell(struct e1000e *e);
/* Whether the device has filled the next descriptor. e1000e_rx_one() passes its frame to the
 * stack. */
bool e1000e_rx_ready(const struct e1000e *e);
void e1000e_rx_one(struct e1000e *e);
/* netdev_ops.recycle. */
void e1000e_rx_recycle(struct netdev *dev, struct netbuf *buffer);

/* --- transmit ------------------------------------------------------------- */

/* Allocate the ring, once. */
void e1000e_tx_allocate(struct e1000e *e);
/* Empty the ring; its frames are lost. */
void e1000e_tx_reset(struct e1000e *e);
/* Report sent frames to the stack. */
void e1000e_tx_reclaim(struct e1000e *e);
/* netdev_ops.transmit. */
int e1000e_transmit(struct netdev *dev, const struct net_segment *segment, u32 segments,
		    u32 offload, void *token);
