//! What `/proc/sys/fs` forbids, as it was when it was first asked for.

use std::sync::OnceLock;

/// Whether links of others may not be followed where everybody can make them.
pub(super) fn protects_links() -> bool {
    static PROTECTED: OnceLock<bool> = OnceLock::new();
    *PROTECTED.get_or_init(|| {
        std::fs::read("/proc/sys/fs/protected_symlinks").is_ok_and(|text| text.starts_with(b"1"))
    })
}
