/* The registers of virtio over PCI (VIRTIO 1.2, 4.1.4), the device status (2.1) and the features
 * of all devices (6). Little-endian, as the machine that runs this. */
#pragma once

#include <cstddef>
#include <cstdint>

namespace bochs
{

constexpr uint16_t VIRTIO_VENDOR = 0x1af4;
constexpr uint16_t VIRTIO_DEVICE_BASE = 0x1040; /* plus the device type (4.1.2.1) */

enum VirtioStatus : uint8_t {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_DEVICE_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
};

constexpr uint64_t VIRTIO_F_VERSION_1 = 1ull << 32;
constexpr uint64_t VIRTIO_F_ACCESS_PLATFORM = 1ull << 33;

/* struct virtio_pci_cap's cfg_type (4.1.4) */
enum VirtioCapability : uint8_t {
	VIRTIO_PCI_CAP_COMMON_CFG = 1,
	VIRTIO_PCI_CAP_NOTIFY_CFG = 2,
	VIRTIO_PCI_CAP_ISR_CFG = 3,
	VIRTIO_PCI_CAP_DEVICE_CFG = 4,
};

/* The ISR status (4.1.4.5) */
constexpr uint8_t VIRTIO_ISR_QUEUE = 1;
constexpr uint8_t VIRTIO_ISR_CONFIG = 2;

/* struct virtio_pci_common_cfg (4.1.4.3). A 64-bit address is two fields: drivers must write its
 * halves apart (4.1.3.1). */
struct VirtioCommon {
	uint32_t device_feature_select, device_feature;
	uint32_t driver_feature_select, driver_feature;
	uint16_t config_msix_vector, num_queues;
	uint8_t device_status, config_generation;
	uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	uint32_t queue_desc[2], queue_driver[2], queue_device[2];
};
static_assert(sizeof(VirtioCommon) == 0x38, "VIRTIO 1.2, 4.1.4.3");

/* Where the structures lie in BAR 0. */
constexpr unsigned VIRTIO_BAR = 0;
constexpr unsigned VIRTIO_BAR_BYTES = 0x4000;
constexpr unsigned VIRTIO_COMMON_OFFSET = 0;
constexpr unsigned VIRTIO_ISR_OFFSET = 0x1000;
constexpr unsigned VIRTIO_CONFIG_OFFSET = 0x2000;
constexpr unsigned VIRTIO_NOTIFY_OFFSET = 0x3000;
constexpr unsigned VIRTIO_NOTIFY_MULTIPLIER = 4;

/* MSI-X lies in BAR 1. */
constexpr unsigned VIRTIO_MSIX_BAR = 1;
constexpr unsigned VIRTIO_MSIX_BAR_BYTES = 0x1000;
constexpr unsigned VIRTIO_MSIX_TABLE = 0;
constexpr unsigned VIRTIO_MSIX_PENDING = 0x800;

} // namespace bochs
