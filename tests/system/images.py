"""Bugs that are planted into images of Weir, which QEMU's unit cannot show: it executes its queue at once, never fails,
snoops whatever is in the CPUs' caches, keeps no pointers to tables, and does not look at a message's source. The
machine with our own unit shows them (docs/testing.md): `make mutants` builds each image and runs the test that must
fail with it (tests/model/mutants/planted.py)."""
import typing


class Plant(typing.NamedTuple):
    """What the bug does; the test that must fail, in tests/system; the change, as mutant.plant() takes it."""
    what: str
    test: str
    changes: dict


REMAP = "test_bochs_remap.py::test_pages_given_back"
ERRORS = "test_bochs_errors.py::"
INTERRUPTS = "test_bochs_interrupts.py::"

PLANTS = {
    # --- who is waited for ----------------------------------------------------
    "given-back-when-posted": Plant(
        "pages are given back when their flush is posted, not when it is done",
        "test_bochs_late.py::test_the_unit_is_paused",
        {"iommu/commit.c": [("\t\t(void)atomic_add(&b->pending, 1);\n", ""),
                            ("\tiommu_batch_answer(b);\n}\n\nvoid commit_init", "}\n\nvoid commit_init")]}),
    "second-unit-not-awaited": Plant(
        "pages are given back when the first unit has answered", "test_bochs_late.py::test_two_units_out_of_step",
        {"iommu/commit.c": [("\t\t(void)atomic_add(&b->pending, 1);\n", "\t\t(void)atomic_add(&b->pending, !i);\n"),
                            ("\tiommu_batch_answer(b);\n}\n\nvoid commit_init",
                             "\tif (r == &b->unit[0].request)\n\t\tiommu_batch_answer(b);\n}\n\nvoid commit_init")]}),
    "second-unit-not-flushed": Plant(
        "the first unit alone is flushed", REMAP + "[two-units]",
        {"iommu/commit.c": ("\t\tif (!d->devices_on[i])\n", "\t\tif (!d->devices_on[i] || i)\n")}),
    "device-tlb-not-awaited": Plant(
        "pages are given back before the device has dropped its translations", REMAP + "[slow-device-tlb]",
        {"iommu/devicetlb.c": [("\t\tt->next |= (u16)BIT(b->number % BATCHES_PER_DOMAIN);\n", ""),
                               ("\t\t(void)atomic_add(&b->pending, 1);\n", "\t\t(void)b;\n")]}),
    "device-tlb-not-flushed": Plant(
        "devices keep the translations in their own TLBs", REMAP + "[device-tlb]",
        {"iommu/commit.c": ("\tif (!list_empty(&d->device_tlbs))\n\t\tdevice_flush_tlbs(d, b, first, last);\n", "")}),

    # --- what the walkers see -------------------------------------------------
    "root-entry-not-written-back": Plant(
        "a root entry stays in the cache", REMAP + "[late]",
        {"iommu/context.c": ("\tunit_write_back(u, r, sizeof(*r));\n", "")}),
    "context-entry-not-written-back": Plant(
        "a context entry's first half stays in the cache", REMAP + "[late]",
        {"iommu/context.c": ("CONTEXT_P);\n\t\tunit_write_back(u, e, sizeof(*e));\n", "CONTEXT_P);\n")}),
    "new-table-not-written-back": Plant(
        "a new table with its leaves stays in the cache", REMAP + "[late]",
        {"iommu/map.c": ("\tiommu_write_back(d, t, PAGE_SIZE);\n\ttable_publish(d, e, virt_to_phys(t) | SS_R | SS_W);\n"
                         "\tcounts(parent)->present++;\n\tif (iommu_common.caching_mode)",
                         "\ttable_publish(d, e, virt_to_phys(t) | SS_R | SS_W);\n"
                         "\tcounts(parent)->present++;\n\tif (iommu_common.caching_mode)")}),
    "published-entry-not-written-back": Plant(
        "a new leaf, or the entry of a new table, stays in the cache", REMAP + "[late]",
        {"iommu/table.h": ("\tiommu_write_back_entry(d, e);\n", "\t(void)d;\n")}),
    "new-leaves-not-written-back": Plant(
        "several new leaves in an old table stay in the cache", REMAP + "[late]",
        {"iommu/map.c": ("\tiommu_write_back(g->domain, e, run * sizeof(*e));\n", "")}),
    "tombstone-not-written-back": Plant(
        "the walker still sees a page that was unmapped", REMAP + "[late]",
        {"iommu/unmap.c": ("\tmake_tombstone(g, table, e, level);\n\tiommu_write_back_entry(g->domain, e);\n"
                           "\ttable_touched", "\tmake_tombstone(g, table, e, level);\n\ttable_touched")}),
    "tombstones-not-written-back": Plant(
        "the walker still sees several pages that were unmapped", REMAP + "[late]",
        {"iommu/unmap.c": ("\tif (changed_from <= changed_to)\n", "\tif (changed_from <= changed_to && 0)\n")}),
    "split-table-not-written-back": Plant(
        "the table that replaces a superpage stays in the cache", REMAP + "[late]",
        {"iommu/unmap.c": ("\tiommu_write_back(d, t, PAGE_SIZE);\n", "")}),
    "split-entry-not-written-back": Plant(
        "the walker still sees a superpage that was split", REMAP + "[late]",
        {"iommu/unmap.c": ("\tiommu_write_back_entry(d, e);\n\td->entries[level - 1]--;\n",
                           "\td->entries[level - 1]--;\n")}),
    "interrupt-entry-not-written-back": Plant(
        "the unit does not see an interrupt entry", INTERRUPTS + "test_forged_messages_are_stopped",
        {"iommu/intremap.c": ("\tunit_write_back(b->unit, b->entries, IOMMU_IRTES * sizeof(struct irte));\n"
                              "\tb->next |= entries;\n", "\tb->next |= entries;\n")}),

    # --- what is flushed ------------------------------------------------------
    "half-the-range": Plant(
        "half of the pages are flushed", REMAP + "[late]",
        {"iommu/commit.c": (", am, !d->structural)", ", am ? am - 1 : 0, !d->structural)")}),
    "another-domains-pages": Plant(
        "pages are flushed under another domain's id", REMAP + "[late]",
        {"iommu/commit.c": ("qi_iotlb_pages(d->did,", "qi_iotlb_pages((u16)(d->did + 1),")}),
    "another-domain": Plant(
        "a whole domain is flushed under another one's id", REMAP + "[late]",
        {"iommu/commit.c": ("return qi_iotlb_domain(d->did);", "return qi_iotlb_domain((u16)(d->did + 1));")}),
    "pointers-stay": Plant(
        "pointers to a table that was unlinked stay cached (IH = 1)", REMAP + "[late]",
        {"iommu/commit.c": (", am, !d->structural)", ", am, true)")}),
    "split-by-pages": Plant(
        "a superpage that was split is flushed by pages, which leaves it cached", REMAP + "[late]",
        {"iommu/commit.c": ("if (d->splits || !(u->cap & CAP_PSI)", "if (!(u->cap & CAP_PSI)")}),
    "mask-too-large": Plant(
        "a flush has an address mask that the unit does not know", REMAP + "[small-mask]",
        {"iommu/commit.c": (" || am > FIELD_GET(CAP_MAMV, u->cap))", ")")}),
    "caching-mode-leaf": Plant(
        "in caching mode, that a new leaf was not there stays cached", REMAP + "[caching-mode]",
        {"iommu/map.c": ("c->present == ENTRIES || iommu_common.caching_mode)", "c->present == ENTRIES)")}),
    "caching-mode-leaves": Plant(
        "in caching mode, that new leaves were not there stays cached", REMAP + "[caching-mode]",
        {"iommu/map.c": ("\tif (iommu_common.caching_mode)\n\t\tbecame_present(g, dfn, run << order_of(level), level);",
                         "")}),
    "caching-mode-table": Plant(
        "in caching mode, that a new table was not there stays cached", REMAP + "[caching-mode]",
        {"iommu/map.c": ("\tif (iommu_common.caching_mode)\n"
                         "\t\tbecame_present(g, dfn, r->nr << order_of(r->level), r->level + 1);\n", "")}),
    "context-not-flushed": Plant(
        "a device that was detached keeps its cached context entry",
        ERRORS + "test_a_device_moves_to_another_domain",
        {"iommu/device.c": ("v->flush.desc[0] = qi_context_device(context_did, v->dev.bdf);",
                            "v->flush.desc[0] = qi_iotlb_domain(((void)context_did, d->did));")}),

    # --- errors of the queue --------------------------------------------------
    "time-out-loses-the-others": Plant(
        "after a time-out, requests of innocent devices are not posted again",
        ERRORS + "test_a_silent_device_is_quarantined_alone",
        {"iommu/queueerror.c": ("\tqueue_take_back(u, culprit);\n", "\tqueue_take_back(u, culprit);\n"
                                "\tlist_init(&q->waiting);\n\tq->nr_waiting = 0;\n")}),
    "time-out-blames-another": Plant(
        "after a time-out, another device is quarantined", ERRORS + "test_a_silent_device_is_quarantined_alone",
        {"iommu/queueerror.c": ("!quarantine_requester(u, sid, \"does",
                                "!quarantine_requester(u, (u16)(sid + 8), \"does")}),
    "time-out-stays": Plant(
        "after a time-out, the unit is not told to go on", ERRORS + "test_a_silent_device_is_quarantined_alone",
        {"iommu/queueerror.c": ("\thw_write32(u->regs, FSTS_REG, FSTS_ITE);\n", "")}),
    "bad-descriptor-stays": Plant(
        "after a descriptor that the unit rejects, the unit is not told to go on",
        ERRORS + "test_a_rejected_descriptor_is_written_again",
        {"iommu/queueerror.c": ("\thw_write32(u->regs, FSTS_REG, FSTS_IQE);\n", "")}),
    "queue-not-started-again": Plant(
        "after a descriptor that the unit rejects, the tail is not written again",
        ERRORS + "test_a_rejected_descriptor_is_written_again",
        {"iommu/queueerror.c": ("\tif (!q->stuck)\n\t\thw_write64(u->regs, IQT_REG,",
                                "\tif (!q->stuck && q->bad_slot > RING_ENTRIES)\n\t\thw_write64(u->regs, IQT_REG,")}),
    "stray-answer-stays": Plant(
        "ICE is not cleared", ERRORS + "test_an_answer_that_nobody_asked_for",
        {"iommu/queueerror.c": ("\t\thw_write32(u->regs, FSTS_REG, FSTS_ICE);\n", "")}),

    # --- faults ---------------------------------------------------------------
    "first-fault-only": Plant(
        "of several fault records the first is read", ERRORS + "test_a_flood_of_faults[8]",
        {"iommu/fault.c": [("(status & FSTS_PPF) && i < nr; i++)", "(status & FSTS_PPF) && i < 1; i++)"),
                           ("return status ? STEP_MORE : STEP_DONE;", "(void)status;\n\treturn STEP_DONE;")]}),
    "overflow-stays": Plant(
        "that faults were lost is not cleared, so that no further ones are told", ERRORS + "test_a_flood_of_faults[1]",
        {"iommu/fault.c": [("\t\thw_write32(u->regs, FSTS_REG, FSTS_PFO);\n", ""),
                           ("~(u->queue.stuck ? FSTS_IQE : 0);", "~(FSTS_PFO | (u->queue.stuck ? FSTS_IQE : 0));")]}),

    "peers-not-redirected": Plant(
        "what a function sends to its peers goes around the unit although it has ACS",
        ERRORS + "test_peers_around_the_unit[acs]",
        {"drivers/pcireset.c": ("\tpci_acs_isolate(d);\n", "")}),

    # --- interrupts -----------------------------------------------------------
    "old-format-passes": Plant(
        "messages in the old format are let through (GCMD.CFI)",
        INTERRUPTS + "test_forged_messages_are_stopped[xapic]",
        {"iommu/intremap.c": ("\treturn unit_command(u, GCMD_IRE, true);\n",
                              "\treturn unit_command(u, GCMD_IRE, true) && unit_command(u, GCMD_CFI, true);\n")}),
    "source-not-checked": Plant(
        "an interrupt entry accepts the messages of any device",
        INTERRUPTS + "test_forged_messages_are_stopped[x2apic]",
        {"iommu/intremap.c": (" | IRTE_HI_SVT_SID,", ",")}),
    "interrupt-entries-not-awaited": Plant(
        "a device that was paused sends before the unit has dropped its blocked entries",
        INTERRUPTS + "test_a_storm",
        {"kernel/guest/devices/pci/irqstorm.c": [
            ("write_once(&f->storm.reopening, ends ? f->allocated : ~0UL);",
             "write_once(&f->storm.reopening, ends ? 0UL : ~0UL);"),
            ("\tif (!f->allocated)\n\t\tresume(f);", "\tresume(f);")]}),
}
