/* Registers of virtio over PCI (virtio 1.2, 4.1), for the guests' drivers and for the devices that
 * Weir emulates. */
#pragma once

#include <kernel/lib/compiler.h>

#define VIRTIO_VENDOR 0x1af4u

/* A vendor-specific capability (4.1.4), which locates registers by BAR and offset. These are
 * offsets in the capability. */
#define VIRTIO_CAP_TYPE 3
#define VIRTIO_CAP_BAR 4
#define VIRTIO_CAP_OFFSET 8
#define VIRTIO_CAP_LENGTH 12
#define VIRTIO_CAP_NOTIFY_MULTIPLIER 16
#define VIRTIO_CAP_COMMON 1u
#define VIRTIO_CAP_NOTIFY 2u
#define VIRTIO_CAP_ISR 3u
#define VIRTIO_CAP_DEVICE 4u

/* Common configuration (4.1.4.3). The queue_ fields belong to the selected queue. */
struct virtio_common {
	u32 device_feature_select, device_feature;
	u32 driver_feature_select, driver_feature;
	u16 config_msix_vector, num_queues;
	u8 device_status, config_generation;
	u16 queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	u32 queue_desc[2], queue_driver[2], queue_device[2];
};
_Static_assert(sizeof(struct virtio_common) == 0x38, "virtio 1.2, 4.1.4.3");

/* device_status (2.1) */
#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u
#define STATUS_NEEDS_RESET 0x40u

#define NO_VECTOR 0xffffu

/* Features of all devices (6) */
#define VIRTIO_F_VERSION_1 BIT(32)
#define VIRTIO_F_ACCESS_PLATFORM BIT(33)
