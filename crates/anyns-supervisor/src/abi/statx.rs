//! `struct statx`: the same on every architecture.

use rustix::fs::Statx;

use super::Fields;

/// Bytes in a `struct statx`.
pub(crate) const SIZE: usize = 256;

/// Encodes `statx` as the kernel writes it.
pub(crate) fn encode(statx: &Statx) -> Vec<u8> {
    let mut out = Vec::with_capacity(SIZE);
    {
        let mut fields = Fields::new(&mut out);
        fields
            .u32(statx.stx_mask)
            .u32(statx.stx_blksize)
            .u64(statx.stx_attributes.bits())
            .u32(statx.stx_nlink)
            .u32(statx.stx_uid)
            .u32(statx.stx_gid)
            .u16(statx.stx_mode)
            .u16(0)
            .u64(statx.stx_ino)
            .u64(statx.stx_size)
            .u64(statx.stx_blocks)
            .u64(statx.stx_attributes_mask.bits());
        for time in [&statx.stx_atime, &statx.stx_btime, &statx.stx_ctime, &statx.stx_mtime] {
            fields.i64(time.tv_sec).u32(time.tv_nsec).u32(0);
        }
        fields
            .u32(statx.stx_rdev_major)
            .u32(statx.stx_rdev_minor)
            .u32(statx.stx_dev_major)
            .u32(statx.stx_dev_minor)
            .u64(statx.stx_mnt_id)
            .u32(statx.stx_dio_mem_align)
            .u32(statx.stx_dio_offset_align)
            .u64(statx.stx_subvol)
            .u32(statx.stx_atomic_write_unit_min)
            .u32(statx.stx_atomic_write_unit_max)
            .u32(statx.stx_atomic_write_segments_max)
            .u32(statx.stx_dio_read_offset_align)
            .u32(statx.stx_atomic_write_unit_max_opt)
            .pad_to(SIZE);
    }
    out
}
