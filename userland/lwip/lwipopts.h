/* lwIP's options: one thread without an operating system, IPv4 and IPv6, sized for tens of
 * connections at full speed. */
#pragma once

void *lwip_heap_malloc(unsigned long size);
void *lwip_heap_calloc(unsigned long count, unsigned long size);
void lwip_heap_free(void *block);

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0

#define MEM_ALIGNMENT 16
/* The heap is heap.c: lwIP's own searches a list of blocks, which is slow with thousands of them.
 * lwIP 2.2 (which has acd.h) and 2.1 name the options differently. */
#if __has_include(<lwip/acd.h>)
#define MEM_CUSTOM_ALLOCATOR 1
#define MEM_CUSTOM_MALLOC lwip_heap_malloc
#define MEM_CUSTOM_CALLOC lwip_heap_calloc
#define MEM_CUSTOM_FREE lwip_heap_free
#else
#define MEM_LIBC_MALLOC 1
#define mem_clib_malloc lwip_heap_malloc
#define mem_clib_calloc lwip_heap_calloc
#define mem_clib_free lwip_heap_free
#endif
#define MEMP_NUM_SYS_TIMEOUT (LWIP_NUM_SYS_TIMEOUT_INTERNAL + 4)
#define MEMP_NUM_TCP_PCB 128
#define MEMP_NUM_TCP_PCB_LISTEN 8
#define MEMP_NUM_TCP_SEG 8192
#define MEMP_NUM_UDP_PCB 8
#define MEMP_NUM_PBUF 2048
#define MEMP_NUM_REASSDATA 8
#define MEMP_NUM_FRAG_PBUF 64
#define PBUF_POOL_SIZE 512

#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_ARP 1
#define LWIP_ETHERNET 1
#define LWIP_ICMP 1
#define LWIP_DHCP 1
#define LWIP_DHCP_DOES_ACD_CHECK 0
#define DHCP_DOES_ARP_CHECK 0
#define LWIP_IPV6_AUTOCONFIG 1
#define LWIP_IPV6_DHCP6 0
#define IPV6_FRAG_COPYHEADER 1 /* pointers do not fit into a fragment header */
#define IP_REASS_MAX_PBUFS 48
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_LINK_CALLBACK 1
#define LWIP_SINGLE_NETIF 1
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define LWIP_NETIF_TX_SINGLE_PBUF 0

#define LWIP_TCP 1
#define LWIP_UDP 1
#define TCP_MSS 1460
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 3
#define TCP_WND (256 * 1024)
#define TCP_SND_BUF (120 * 1024)
#define TCP_SND_QUEUELEN 512
#define TCP_SNDLOWAT 0x8000
#define TCP_SNDQUEUELOWAT 300
#define TCP_OVERSIZE TCP_MSS
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_PBUFS 128
#define LWIP_TCP_SACK_OUT 1
#define TCP_LISTEN_BACKLOG 1

/* netif.c decides per frame who checks and computes the TCP checksum. */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHKSUM_ALGORITHM 3

#define LWIP_STATS 1
#define LWIP_STATS_DISPLAY 0
#define LWIP_STATS_LARGE 1
