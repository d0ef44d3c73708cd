//! What the kernel says about this process.

use std::time::Duration;

/// Resident size in bytes: the second field of `/proc/self/statm`, in pages (proc(5)). Zero where it cannot be read.
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages * page_bytes()
}

/// CPU time used so far, user and system: fields 14 and 15 of `/proc/self/stat`, in clock ticks (proc(5)).
pub fn cpu_time() -> Duration {
    // Linux reports these in units of 1/100 s on every architecture (USER_HZ).
    const USER_HZ: u64 = 100;
    let ticks = std::fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|stat| {
            // The second field is the command in brackets and may hold spaces; the third follows its last bracket.
            let (_, rest) = stat.rsplit_once(')')?;
            let mut fields = rest.split_ascii_whitespace();
            let user: u64 = fields.nth(11)?.parse().ok()?;
            let system: u64 = fields.next()?.parse().ok()?;
            Some(user + system)
        })
        .unwrap_or(0);
    Duration::from_millis(ticks * (1000 / USER_HZ))
}

/// The size of a memory page: `Size / Rss` in `/proc/self/smaps` would tell, but the auxiliary vector is simpler.
fn page_bytes() -> u64 {
    const AT_PAGESZ: u64 = 6;
    const DEFAULT: u64 = 4096;
    static PAGE: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *PAGE.get_or_init(|| {
        let Ok(auxv) = std::fs::read("/proc/self/auxv") else {
            return DEFAULT;
        };
        auxv.as_chunks::<16>()
            .0
            .iter()
            .map(|entry| {
                let word = |at: usize| {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(&entry[at..at + 8]);
                    u64::from_ne_bytes(bytes)
                };
                (word(0), word(8))
            })
            .find(|(key, _)| *key == AT_PAGESZ)
            .map_or(DEFAULT, |(_, size)| size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_reports_a_plausible_resident_size() {
        assert!(resident_bytes() > 1024 * 1024, "{}", resident_bytes());
    }

    #[test]
    fn cpu_time_does_not_fall() {
        let before = cpu_time();
        assert!(cpu_time() >= before);
    }
}
