/* What a guest shows on its text screen. See guestscreen.h. The memory has room for 16,384
 * characters, and the screen shows 2,000 of them from the one that the CRT controller names; the
 * last one is followed by the first. */
#include <kernel/guest/devices/guestscreen.h>

#include <kernel/abi/control.h>
#include <kernel/guest/devices/legacy/vvga.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/guestmap.h>
#include <kernel/lib/errno.h>

#define CELLS (WEIR_SCREEN_COLUMNS * WEIR_SCREEN_ROWS)
#define CELL_BYTES sizeof(u16)
#define MEMORY_CELLS (GUEST_TEXT_SCREEN_SIZE / CELL_BYTES)

/* What precedes the cells. */
struct head {
	u16 columns, rows, cursor, reserved;
};
_Static_assert(sizeof(struct head) == offsetof(struct weir_screen, cell), "");

static int copy_cells(struct domain *d, u64 start, struct domain *to, gpaddr_t gpa, u64 size)
{
	u16 piece[WEIR_SCREEN_COLUMNS];
	u64 done = 0;

	while (done < size) {
		u64 at = (start * CELL_BYTES + done) % GUEST_TEXT_SCREEN_SIZE;
		u64 n = MIN(size - done, sizeof(piece));

		n = MIN(n, GUEST_TEXT_SCREEN_SIZE - at);
		if (guest_read(&d->vm.memory, GUEST_TEXT_SCREEN + at, piece, n))
			return -ENODEV;
		if (guest_write(&to->vm.memory, gpa + done, piece, n))
			return -EFAULT;
		done += n;
	}
	return 0;
}

int guestscreen_read(struct domain *d, struct domain *to, gpaddr_t gpa, u64 size)
{
	struct vvga_view view = vvga_view(d->legacy);
	u64 cursor = (view.cursor - view.start) % MEMORY_CELLS;
	const struct head head = {
		.columns = WEIR_SCREEN_COLUMNS,
		.rows = WEIR_SCREEN_ROWS,
		.cursor = view.has_cursor && cursor < CELLS ? (u16)cursor : WEIR_SCREEN_NO_CURSOR,
	};

	size = MIN(size, sizeof(struct weir_screen));
	if (guest_write(&to->vm.memory, gpa, &head, MIN(size, sizeof(head))))
		return -EFAULT;
	if (size <= sizeof(head))
		return 0;
	return copy_cells(d, view.start, to, gpa + sizeof(head), size - sizeof(head));
}
